"""Do what README.md says of ./test, on a fresh Debian on which nothing is installed, to the end.

`python -m tests.campaigns.bare_suite [--folder FOLDER] [--suite SUITE] [--mount SOURCE:TARGET]...` as root (Debian
package debootstrap; about ten minutes). The newcomer is root, as in a container: installs git by the README's line,
copies what is committed, and types `./test`, without standard input. FOLDER keeps the fresh system and the log for
the next time; `--mount` lends files, such as a mirror's configuration of pip. Passes when the command ends with exit
status 0 and nothing was skipped.
"""

import re
import sys
import time
from pathlib import Path
from typing import Final

from tests.campaigns.fresh_system import FreshSystem, play
from tests.fakes.foregate import ROOT

PAGE: Final = ROOT / "README.md"
PATIENCE: Final = 3600.0
LINES_SHOWN: Final = 60


def lines() -> list[tuple[str, str]]:
    """Return what is typed, in order: the folder, and the README's command."""
    page = PAGE.read_text()
    (git,) = re.findall(r"`(apt-get .*install -y git)`", page)
    (test,) = re.findall(r"^(\./test)\b", page, re.MULTILINE)
    return [
        ("/", git),
        ("/root", "git clone --quiet /tmp/foregate.bundle foregate"),
        ("/root/foregate", test),
    ]


def run_suite(system: FreshSystem, folder: Path) -> bool:
    """Type it all; say whether every line worked, and the suite passed whole."""
    log = folder / f"bare-suite-{system.suite}.log"
    log.unlink(missing_ok=True)
    for where, line in lines():
        began = time.monotonic()
        status = system.start(line, log, as_root=True, folder=where).wait(PATIENCE)
        print(f"{time.monotonic() - began:6.1f} s  {line}: exit status {status}", flush=True)
        if status:
            print("\n".join(log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]))
            return False
    closing = log.read_text(errors="replace").splitlines()[-1]
    print(closing)
    return is_whole(closing)


def is_whole(closing: str) -> bool:
    """Say whether pytest's last line tells of tests that passed, and of nothing else."""
    return re.fullmatch(r"=* ?[0-9]+ passed in .*", closing) is not None


if __name__ == "__main__":
    sys.exit(play("tests.campaigns.bare_suite", __doc__, run_suite))
