"""A fresh, minimal Debian for campaigns that play a newcomer (as root, Debian package debootstrap)."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.fakes.foregate import ROOT

MIRROR: Final = "http://deb.debian.org/debian"
USER: Final = "1000"
HOME: Final = "/home/user"


class FreshSystem:
    """A minimal Debian in a folder, as it is after an installation; whatever changes is kept apart and thrown away."""

    def __init__(self, folder: Path, suite: str, changes: Path) -> None:
        self.suite = suite
        self._base = folder / f"base-{suite}"
        self.root = changes / "root"
        self._changes = changes

    def make(self, mounts: Sequence[str]) -> None:
        """Bootstrap it unless it is there, and mount it (in a namespace of this process)."""
        if not self._base.exists():
            command = ["debootstrap", "--variant=minbase", self.suite, str(self._base), MIRROR]
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

    def start(
        self, commands: str, log: Path, *, as_root: bool, folder: str, environ: Sequence[str] = ()
    ) -> "subprocess.Popen[bytes]":
        """Run commands in a shell of their own, as a terminal would, but without standard input."""
        become = [] if as_root else ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]
        home = "/root" if as_root else HOME
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        shell = ["sh", "-c", f"set -e; cd {folder}\n{commands}"]
        with log.open("ab") as output:
            return subprocess.Popen(
                ["chroot", str(self.root), *become, "env", "-i", f"HOME={home}", path, *environ, *shell],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def mount(*arguments: str) -> None:
    """Mount something, until the namespace ends."""
    subprocess.run(["mount", *arguments], check=True)


def play(module: str, description: str | None, newcomer: Callable[[FreshSystem, Path], bool]) -> int:
    """Let a newcomer of a campaign's module do something in a fresh system; return the exit status.

    The newcomer gets the system and a folder for logs, and says whether all went well. It runs in mount and process
    namespaces of its own: when they end, nothing is mounted or runs any more.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, help="keeps the fresh system and the logs for the next time")
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
        system.make(known.mount)
        return 0 if newcomer(system, known.folder) else 1
    if known.folder is not None:
        known.folder.mkdir(parents=True, exist_ok=True)
        return _in_namespaces(module, known.folder.resolve(), known.suite, known.mount)
    with tempfile.TemporaryDirectory(prefix="foregate-fresh-") as name:
        return _in_namespaces(module, Path(name), known.suite, known.mount)


def _in_namespaces(module: str, folder: Path, suite: str, mounts: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="fresh-", dir=folder) as changes:
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += [sys.executable, "-m", module, "--folder", str(folder)]
        command += [f"--suite={suite}", *(f"--mount={lent}" for lent in mounts)]
        return subprocess.run([*command, "--inside", changes], cwd=ROOT, check=False).returncode
