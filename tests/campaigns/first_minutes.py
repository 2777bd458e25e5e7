"""Do what docs/first-five-minutes.md says, on a fresh Debian, and take the time.

`python -m tests.campaigns.first_minutes [--folder FOLDER] [--suite SUITE] [--mount SOURCE:TARGET]...` as root
(Debian package debootstrap; about two minutes). Every command of the page is typed into the terminal that it names:
the first as root, all others as a plain user. FOLDER keeps the fresh system for the next time; `--mount` lends files,
such as a mirror's configuration of pip. Passes when every command does and each terminal shows what the page says.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fakes.foregate import ROOT

PAGE: Final = ROOT / "docs" / "first-five-minutes.md"
MIRROR: Final = "http://deb.debian.org/debian"
USER: Final = "1000"
HOME: Final = "/home/user"
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


class FreshSystem:
    """A minimal Debian in a folder, as it is after an installation; whatever changes is kept apart and thrown away."""

    def __init__(self, folder: Path, suite: str, changes: Path) -> None:
        self._suite = suite
        self._base = folder / f"base-{suite}"
        self.root = changes / "root"
        self._changes = changes

    def make(self, mounts: Sequence[str]) -> None:
        """Bootstrap it unless it is there, and mount it (in a namespace of this process)."""
        if not self._base.exists():
            command = ["debootstrap", "--variant=minbase", self._suite, str(self._base), MIRROR]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        layers = {name: self._changes / name for name in ("upper", "work", "root")}
        for layer in layers.values():
            layer.mkdir()
        options = f"lowerdir={self._base},upperdir={layers['upper']},workdir={layers['work']}"
        mount("-t", "overlay", "-o", options, "overlay", str(self.root))
        mount("-t", "proc", "proc", str(self.root / "proc"))
        mount("--rbind", "/dev", str(self.root / "dev"))
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # as an installer does
        for lent in mounts:
            source, _, target = lent.partition(":")
            place = self.root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            mount("--bind", source, str(place))
        home = self.root / HOME.lstrip("/")
        home.mkdir()
        os.chown(home, int(USER), int(USER))
        bundle = ["git", "bundle", "create", "--quiet", str(self.root / "tmp/foregate.bundle"), "HEAD"]
        subprocess.run(bundle, cwd=ROOT, check=True)

    def start(self, commands: str, log: Path, *, as_root: bool, folder: str) -> "subprocess.Popen[bytes]":
        """Run commands in a shell of their own, as a terminal would."""
        become = [] if as_root else ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]
        environ = ["env", "-i", f"HOME={HOME}", "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"]
        environ += ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
        shell = ["sh", "-c", f"set -e; cd {folder}\n{commands}"]
        with log.open("ab") as output:
            return subprocess.Popen(
                ["chroot", str(self.root), *become, *environ, *shell],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def mount(*arguments: str) -> None:
    """Mount something, until the namespace ends."""
    subprocess.run(["mount", *arguments], check=True)


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
        process = self._system.start(block.commands, log, as_root=as_root, folder=where)
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


def type_everything(system: FreshSystem, changes: Path, mounts: Sequence[str]) -> None:
    """Type the whole page into the terminals of a fresh system."""
    system.make(mounts)
    session = Session(system, changes)
    total = 0.0
    for number, block in enumerate(blocks()):
        seconds = session.type(block)
        total += seconds
        print(f"{seconds:6.1f} s  {block.terminal}: {block.commands.splitlines()[-1]}", flush=True)
        if number == 0:
            began = time.monotonic()
            clone = "git clone --quiet /tmp/foregate.bundle foregate"
            log = changes / "clone.log"
            assert system.start(clone, log, as_root=False, folder=HOME).wait(PATIENCE) == 0, log.read_text()
            print(f"{time.monotonic() - began:6.1f} s  a copy of the repository", flush=True)
    print(f"{total:6.1f} s  in all, {sum(len(one.commands.splitlines()) for one in blocks())} lines typed")


def campaign(folder: Path, suite: str, mounts: Sequence[str]) -> int:
    """Do it in mount and process namespaces of its own: when they end, nothing is mounted or runs any more."""
    with tempfile.TemporaryDirectory(prefix="fresh-", dir=folder) as changes:
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += [sys.executable, "-m", "tests.campaigns.first_minutes", "--folder", str(folder)]
        command += [f"--suite={suite}", *(f"--mount={lent}" for lent in mounts)]
        return subprocess.run([*command, "--inside", changes], cwd=ROOT, check=False).returncode


def main() -> int:
    """Run it, or say why not; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps the fresh system for the next time")
    parser.add_argument("--suite", default="bookworm", help="Debian's")
    parser.add_argument("--mount", action="append", default=[], metavar="SOURCE:TARGET")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    known = parser.parse_args()
    missing = [name for name in ("debootstrap", "unshare", "chroot") if shutil.which(name) is None]
    if missing or os.geteuid():
        print(f"skipped: needs {', '.join(missing) or 'root'}")
        return 0
    if known.inside is not None:
        # Nothing in here may remove the folder: the machine's devices are mounted in it.
        system = FreshSystem(known.folder, known.suite, known.inside)
        type_everything(system, known.inside, known.mount)
        return 0
    if known.folder is not None:
        known.folder.mkdir(parents=True, exist_ok=True)
        return campaign(known.folder.resolve(), known.suite, known.mount)
    with tempfile.TemporaryDirectory(prefix="foregate-first-") as name:
        return campaign(Path(name), known.suite, known.mount)


if __name__ == "__main__":
    sys.exit(main())
