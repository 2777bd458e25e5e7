"""A process that holds keys leaves no core file, and its memory is nobody else's to read."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import ctypes, resource
from proxy.supervisor import privileges
PR_GET_DUMPABLE = 3
prctl = ctypes.CDLL(None).prctl
before = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
privileges.forbid_core_dumps()
print(before, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_core_dumps_and_reading_of_memory_are_switched_off() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "0", "0", "0"]
