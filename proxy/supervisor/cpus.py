"""How many CPUs this process may use: its affinity, and the cgroup quotas above it.

A container's limit (`docker run --cpus 1.5`) is a quota, which the affinity does not show. With cgroup v2 it
is in `cpu.max`, with v1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`; any parent may set a smaller one. What
`/proc/self/cgroup` calls our path is relative to the root of the hierarchy, of which a container often sees a
part only: `/proc/self/mountinfo` tells which.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Literal


@dataclass(frozen=True, slots=True)
class _Mount:
    version: int
    root: PurePosixPath  # which part of the hierarchy is seen here
    point: PurePosixPath


def worker_count(wanted: int | Literal["auto"]) -> int:
    """Decide how many workers [server] workers means."""
    return available_cpus() if wanted == "auto" else wanted


def available_cpus(root: Path = Path("/"), affinity: int | None = None) -> int:
    """Count the CPUs that this process may keep busy, at least 1; a quota is rounded up.

    `root` is where /proc and the mount points are found; `affinity` defaults to this process's own.
    """
    count = affinity if affinity is not None else len(os.sched_getaffinity(0))
    return max(1, min([count, *map(ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    memberships = dict(_memberships(root))
    for mount in _mounts(root):
        path = memberships.get(mount.version)
        if path is None:
            continue
        point = root / mount.point.relative_to("/")
        for folder in _upwards(point, _below(path, mount.root)):
            quota = _quota_v2(folder) if mount.version == 2 else _quota_v1(folder)
            if quota is not None:
                yield quota


def _memberships(root: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """Read our path in the v2 hierarchy, and in the v1 hierarchy that has the cpu controller."""
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield 2, PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            yield 1, PurePosixPath(path)


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _lines(root / "proc/self/mountinfo"):
        place, _, kind = line.partition(" - ")
        place_fields, kind_fields = place.split(), kind.split()
        if len(place_fields) < 5 or len(kind_fields) < 3:
            continue
        seen, point = PurePosixPath(place_fields[3]), PurePosixPath(place_fields[4])
        if kind_fields[0] == "cgroup2":
            yield _Mount(2, seen, point)
        elif kind_fields[0] == "cgroup" and "cpu" in kind_fields[2].split(","):
            yield _Mount(1, seen, point)


def _below(path: PurePosixPath, seen: PurePosixPath) -> PurePosixPath:
    """Return our path below the mount's root; outside of it (another cgroup namespace), the root itself."""
    if ".." in path.parts or not path.is_relative_to(seen):
        return PurePosixPath()
    return path.relative_to(seen)


def _upwards(point: Path, below: PurePosixPath) -> Iterator[Path]:
    yield point / below
    yield from (point / parent for parent in below.parents)


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = next(_lines(folder / "cpu.max"), "max").partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float | None:
    quota = next(_lines(folder / "cpu.cfs_quota_us"), "-1")
    return _ratio(quota, next(_lines(folder / "cpu.cfs_period_us"), ""))


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None  # "max", "-1", or a file that is not there
    return int(quota) / int(period)


def _lines(file: Path) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return iter(())
    return iter(text.splitlines())
