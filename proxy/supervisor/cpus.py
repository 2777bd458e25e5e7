"""How many CPUs this process may use: its affinity, and the cgroup quotas above it.

A container's limit (`docker run --cpus 1.5`) is a quota, which the affinity does not show. With cgroup v2 it
is in `cpu.max`, with v1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
"""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Literal

from proxy.supervisor.cgroups import folders, lines


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
    for version, folder in folders(root, "cpu"):
        quota = _quota_v2(folder) if version == 2 else _quota_v1(folder)
        if quota is not None:
            yield quota


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = next(lines(folder / "cpu.max"), "max").partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float | None:
    quota = next(lines(folder / "cpu.cfs_quota_us"), "-1")
    return _ratio(quota, next(lines(folder / "cpu.cfs_period_us"), ""))


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None  # "max", "-1", or a file that is not there
    return int(quota) / int(period)
