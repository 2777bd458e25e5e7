"""Where this process's limits are written: its folder in a cgroup hierarchy, and those above it.

With cgroup v2 there is one hierarchy, with v1 one for each controller; any parent may set a smaller limit. What
`/proc/self/cgroup` calls our path is relative to the root of the hierarchy, of which a container often sees a
part only: `/proc/self/mountinfo` tells which.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class _Mount:
    version: int
    root: PurePosixPath  # which part of the hierarchy is seen here
    point: PurePosixPath


def folders(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Give every folder that may hold a limit of this process, with the version of its hierarchy (1 or 2).

    `root` is where /proc and the mount points are found.
    """
    memberships = dict(_memberships(root, controller))
    for mount in _mounts(root, controller):
        path = memberships.get(mount.version)
        if path is not None:
            point = root / mount.point.relative_to("/")
            yield from ((mount.version, folder) for folder in _upwards(point, _below(path, mount.root)))


def lines(file: Path) -> Iterator[str]:
    """Read a file's lines, none where it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return iter(())
    return iter(text.splitlines())


def _memberships(root: Path, controller: str) -> Iterator[tuple[int, PurePosixPath]]:
    """Read our path in the v2 hierarchy, and in the v1 hierarchy that has the controller."""
    for line in lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield 2, PurePosixPath(path)
        elif controller in controllers.split(","):
            yield 1, PurePosixPath(path)


def _mounts(root: Path, controller: str) -> Iterator[_Mount]:
    for line in lines(root / "proc/self/mountinfo"):
        place, _, kind = line.partition(" - ")
        place_fields, kind_fields = place.split(), kind.split()
        if len(place_fields) < 5 or len(kind_fields) < 3:
            continue
        seen, point = PurePosixPath(place_fields[3]), PurePosixPath(place_fields[4])
        if kind_fields[0] == "cgroup2":
            yield _Mount(2, seen, point)
        elif kind_fields[0] == "cgroup" and controller in kind_fields[2].split(","):
            yield _Mount(1, seen, point)


def _below(path: PurePosixPath, seen: PurePosixPath) -> PurePosixPath:
    """Return our path below the mount's root; outside of it (another cgroup namespace), the root itself."""
    if ".." in path.parts or not path.is_relative_to(seen):
        return PurePosixPath()
    return path.relative_to(seen)


def _upwards(point: Path, below: PurePosixPath) -> Iterator[Path]:
    yield point / below
    yield from (point / parent for parent in below.parents)
