"""Do what docs/first-five-minutes.md says, on a fresh Debian, and take the time.

`python -m tests.campaigns.first_minutes [--folder FOLDER] [--suite SUITE] [--mount SOURCE:TARGET]...` as root
(Debian package debootstrap; about two minutes). Every command of the page is typed into the terminal that it names:
the first as root, all others as a plain user. FOLDER keeps the fresh system for the next time; `--mount` lends files,
such as a mirror's configuration of pip. Passes when every command does and each terminal shows what the page says.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.campaigns.fresh_system import HOME, FreshSystem, play
from tests.fakes.foregate import ROOT

PAGE: Final = ROOT / "docs" / "first-five-minutes.md"
PATIENCE: Final = 400.0
#: Commands that stay, and what they say when they are ready.
STAYING: Final = {
    "http.server": "Serving HTTP on",
    "./try": "Yours to try",
    "prometheus --config": "Server is ready to receive web requests",
    "foregate run": '"event": "worker serves"',
}
#: What a block must have shown at its end.
SHOWN: Final = {
    "curl --silent --insecure": ("HTTP/1.1 200 OK", "cache-status: foregate", "foregate_requests_total{"),
    "./try": ("issued by Pebble", "HIT", "got 429"),
    "api/v1/query": ('"status":"success"', '"site":"localhost"'),
    "foregate reload": ("cache.ttl", "localhost", "HTTP/1.1 200 OK"),
}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of the page, and where they are typed."""

    terminal: str
    commands: str

    @property
    def readiness(self) -> str:
        """Return what its last command says when it stays, else nothing."""
        return next((said for part, said in STAYING.items() if part in self.commands), "")

    @property
    def shown(self) -> tuple[str, ...]:
        """Return what must have been printed."""
        return next((said for part, said in SHOWN.items() if part in self.commands), ())


def blocks() -> list[Block]:
    """Return the page's commands in order."""
    found = re.findall(
        r"^```sh\n# (as root|\w+ terminal)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return [Block(terminal, commands) for terminal, commands in found]


class Session:
    """The user's terminals."""

    def __init__(self, system: FreshSystem, folder: Path) -> None:
        self._system = system
        self._folder = folder
        self._staying: dict[str, subprocess.Popen[bytes]] = {}

    def type(self, block: Block) -> float:
        """Type a block's commands; return how many seconds they took. AssertionError when they do not work."""
        if former := self._staying.pop(block.terminal, None):
            os.killpg(former.pid, 2)
            former.wait(PATIENCE)
        as_root = block.terminal == "as root"
        began, deadline = time.monotonic(), time.monotonic() + PATIENCE
        while not self._works(block, as_root):
            # Prometheus takes its time; nothing else is tried twice.
            assert "api/v1/query" in block.commands, self._log(block).read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, "Prometheus has not scraped"
            time.sleep(1)
        return time.monotonic() - began

    def _works(self, block: Block, as_root: bool) -> bool:
        log = self._log(block)
        log.write_bytes(b"")
        where = "/" if as_root else f"{HOME}/foregate"
        process = self._system.start(
            block.commands, log, as_root=as_root, folder=where, environ=["PYTHONUNBUFFERED=1"]
        )
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            if block.readiness and block.readiness in log.read_text(errors="replace"):
                self._staying[block.terminal] = process
                break
            time.sleep(0.05)
        text = log.read_text(errors="replace").lower()
        is_well = process.returncode == 0 or process.poll() is None
        return is_well and all(said.lower() in text for said in block.shown)

    def _log(self, block: Block) -> Path:
        return self._folder / f"{block.terminal.replace(' ', '-')}.log"


def type_everything(system: FreshSystem, folder: Path) -> bool:
    """Type the whole page into the terminals of a fresh system."""
    session = Session(system, folder)
    total = 0.0
    for number, block in enumerate(blocks()):
        seconds = session.type(block)
        total += seconds
        print(f"{seconds:6.1f} s  {block.terminal}: {block.commands.splitlines()[-1]}", flush=True)
        if number == 0:
            began = time.monotonic()
            clone = "git clone --quiet /tmp/foregate.bundle foregate"
            log = folder / "clone.log"
            assert system.start(clone, log, as_root=False, folder=HOME).wait(PATIENCE) == 0, log.read_text()
            print(f"{time.monotonic() - began:6.1f} s  a copy of the repository", flush=True)
    print(f"{total:6.1f} s  in all, {sum(len(one.commands.splitlines()) for one in blocks())} lines typed")
    return True


if __name__ == "__main__":
    sys.exit(play("tests.campaigns.first_minutes", __doc__, type_everything))
