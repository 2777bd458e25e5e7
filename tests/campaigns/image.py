"""Build the container image from the Dockerfile, and try it as a container runtime would run it.

`python -m tests.campaigns.image [--folder FOLDER] [--suite SUITE] [--twice] [BUILDAH OPTIONS]` as root (Debian
packages buildah and debootstrap; about three minutes, and half of one again with the same folder). There need be no
Docker: buildah builds what is committed in a chroot, on a base that debootstrap makes and that gets the name of the
Dockerfile's. Options that are not known here go to `buildah bud`: behind a mirror, mount pip's configuration, for
example `--volume /etc/pip.conf:/etc/pip.conf:ro`.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.fakes.foregate import ROOT

MIRROR: Final = "http://deb.debian.org/debian"
IMAGE: Final = "localhost/foregate:campaign"
AGAIN: Final = "localhost/foregate:again"
OURS: Final = "opt/foregate"
NEEDED: Final = ("buildah", "debootstrap", "unshare", "chroot")
# What Debian's slim images leave out.
NOT_IN_SLIM: Final = ("doc", "man", "info", "locale", "groff", "lintian", "linda")
NOT_FOUND: Final = ("/etc/pip.conf", "/root/.config", "/root/.cache", "/opt/foregate/bin/pip", "/build")


class Workshop:
    """Buildah with a storage of its own in a folder."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        self._suite = suite
        self.base = folder / f"base-{suite}"
        self._base_name = f"debian:{suite}-slim"
        self._command = ["buildah", "--storage-driver", "vfs", "--root", str(folder / "storage")]
        self._command += ["--runroot", str(folder / "run")]

    def run(self, *arguments: str) -> str:
        """Run a buildah command and return its output; what it complains about is shown."""
        ended = subprocess.run(
            [*self._command, *arguments], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
        )
        return ended.stdout.strip()

    def make_base(self) -> None:
        """Import a minimal Debian under the name of the Dockerfile's base, unless it is there."""
        if self._base_name in self.run("images", "--format", "{{.Name}}:{{.Tag}}"):
            return
        base = self.base
        if not base.exists():
            command = ["debootstrap", "--variant=minbase", self._suite, str(base), MIRROR]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        rules = [f"path-exclude /usr/share/{name}/*" for name in NOT_IN_SLIM]
        (base / "etc/dpkg/dpkg.cfg.d/docker").write_text("\n".join(rules) + "\n")
        for name in NOT_IN_SLIM:
            shutil.rmtree(base / "usr/share" / name, ignore_errors=True)
        for litter in ("var/lib/apt/lists", "var/cache/apt", "var/log/bootstrap.log"):
            subprocess.run(["rm", "-rf", str(base / litter)], check=True)
        container = self.run("from", "scratch")
        self.run("add", container, str(base), "/")
        self.run("config", "--cmd", "bash", container)
        self.run("commit", "--rm", container, f"docker.io/library/{self._base_name}")

    def build(self, context: Path, image: str, options: Sequence[str]) -> None:
        """Build the Dockerfile of a copy of the repository."""
        isolation = [
            "--layers",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--pull-never",
            "--format",
            "docker",
        ]
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        arguments = ["--build-arg", f"REVISION={revision.stdout.strip()}"]
        arguments += ["--build-arg", f"BASE={self._base_name}", "--tag", image, *options]
        self.run("bud", *isolation, *arguments, "--file", str(context / "Dockerfile"), str(context))

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """Mount the root file system of a container made of an image."""
        container = self.run("from", "--pull-never", image)
        try:
            yield Path(self.run("mount", container))
        finally:
            self.run("rm", container)


def settings_of(workshop: Workshop) -> dict[str, Any]:
    """Return what the image says of itself, and complain about what is missing."""
    document = json.loads(workshop.run("inspect", "--type", "image", IMAGE))
    settings: dict[str, Any] = document["Docker"]["config"]
    assert settings["User"] == "10001:10001", settings["User"]
    assert settings["StopSignal"] == "SIGTERM", settings
    assert settings["Healthcheck"]["Test"] == ["CMD", "foregate", "health"], settings
    assert list(settings["Volumes"]) == ["/var/lib/foregate"], settings
    assert settings["Entrypoint"] == ["foregate"], settings
    assert settings["Labels"]["org.opencontainers.image.revision"], settings
    return settings


def octets(folder: Path) -> int:
    """Return the sizes of all files in a folder, added up."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def packed(folder: Path) -> int:
    """Return about what a registry would send."""
    command = f"tar --one-file-system -C {folder} -c . | gzip -6 | wc -c"
    return int(subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout)


def digest(folder: Path) -> str:
    """Return a digest of names, modes and contents: equal ones are equal installations."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = os.readlink(path).encode() if path.is_symlink() else b""
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
        name = str(path.relative_to(folder)).encode()
        total.update(b"%s %o %d\n%s" % (name, path.lstat().st_mode, len(content), content))
    return total.hexdigest()[:16]


def try_out(root: Path, settings: dict[str, Any]) -> bool:
    """Run the image's command in namespaces of its own (tests/campaigns/image_inside.py)."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    inside = [sys.executable, "-m", "tests.campaigns.image_inside", str(root), json.dumps(settings)]
    return subprocess.run([*command, *inside], cwd=ROOT, check=False).returncode == 0


def report(root: Path, of_base: Path) -> None:
    """Print sizes, and what should not have got in."""
    whole, base, ours = octets(root), octets(of_base), octets(root / OURS)
    print(f"image {whole / 1e6:.0f} MB, of which base {base / 1e6:.0f}, /opt/foregate {ours / 1e6:.0f}")
    print(f"packed {packed(root) / 1e6:.0f} MB; /opt/foregate has digest {digest(root / OURS)}")
    inside = [root / path.lstrip("/") for path in NOT_FOUND]
    # Where a build had something mounted, an empty file remains.
    strays = [str(path) for path in inside if path.is_dir() or (path.exists() and path.stat().st_size)]
    strays += [
        str(path) for path in (root / "opt").rglob("*") if not path.is_symlink() and path.stat().st_uid
    ]
    assert strays == [], strays


def campaign(folder: Path, suite: str, options: Sequence[str], *, twice: bool) -> bool:
    """Build what is committed, measure and try it; tell whether all is well."""
    workshop, began = Workshop(folder, suite), time.monotonic()
    workshop.make_base()
    context = folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    subprocess.run(["sh", "-c", f"git archive HEAD | tar -x -C {context}"], cwd=ROOT, check=True)
    workshop.build(context, IMAGE, options)
    print(f"built in {time.monotonic() - began:.0f} s", flush=True)
    settings = settings_of(workshop)
    with workshop.mounted(IMAGE) as root:
        report(root, workshop.base)
        first = digest(root / OURS)
        is_well = try_out(root, settings)
    if twice:
        workshop.build(context, AGAIN, ["--no-cache", *options])
        with workshop.mounted(AGAIN) as root:
            second = digest(root / OURS)
        print(f"built anew: /{OURS} {'is the same' if first == second else 'DIFFERS'}")
        is_well = is_well and first == second
    return is_well


def main() -> int:
    """Run it, or say why not; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps base and layers for the next time")
    parser.add_argument("--twice", action="store_true", help="build twice, and compare")
    parser.add_argument("--suite", default="bookworm", help="Debian's, of the base")
    known, options = parser.parse_known_args()
    missing = [command for command in NEEDED if shutil.which(command) is None]
    if missing or os.geteuid():
        print(f"skipped: needs {', '.join(missing) or 'root'}")
        return 0
    if known.folder is not None:
        known.folder.mkdir(parents=True, exist_ok=True)
        return 0 if campaign(known.folder, known.suite, options, twice=known.twice) else 1
    with tempfile.TemporaryDirectory(prefix="foregate-image-") as name:
        return 0 if campaign(Path(name), known.suite, options, twice=known.twice) else 1


if __name__ == "__main__":
    sys.exit(main())
