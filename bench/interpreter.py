"""Another Python for Foregate than the one that measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import BenchError

REPOSITORY = Path(__file__).parent.parent
_QUESTION = """
import json, platform, sys
try:
    import uvloop, cryptography, pydantic
    complete = True
except ImportError:
    complete = False
print(json.dumps([list(sys.version_info[:2]), platform.python_version(), complete]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How to run a module of this repository under some Python."""

    path: str
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, module: str) -> list[str]:
        """Return the command that runs a module."""
        return [self.path, "-P", "-m", module]


def interpreter(path: str = "", sources: Path = REPOSITORY) -> Interpreter:
    """Find out about a Python; without a path it is the one that runs this. `sources` is the tree that it runs.

    A Python without Foregate's dependencies borrows those of this environment, if it is of the same version.
    Raises BenchError.
    """
    path = path or sys.executable
    result = _ask(path)
    if result.returncode:
        raise BenchError(f"{path} is no Python that works: {result.stderr.strip()}")
    version, full, complete = json.loads(result.stdout)
    places = [str(sources), str(sources / "acme")]
    if not complete:
        if tuple(version) != sys.version_info[:2]:
            raise BenchError(
                f"{path} is Python {full} without Foregate's dependencies, and those of {sys.executable} do not fit; "
                f"make a virtual environment with it and install requirements.lock there"
            )
        places.append(sysconfig.get_path("purelib"))
    return Interpreter(path, full, {"PYTHONPATH": os.pathsep.join(places)})


def _ask(path: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([path, "-c", _QUESTION], capture_output=True, text=True, check=False)
    except OSError as exc:
        raise BenchError(f"{path} cannot be run: {exc.strerror}") from exc
