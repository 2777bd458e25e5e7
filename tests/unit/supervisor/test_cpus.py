"""How many CPUs: the smallest of affinity and every quota above, in all the shapes that containers show."""

import os
from pathlib import Path

import pytest

from proxy.supervisor.cpus import available_cpus

V2 = "30 23 0:26 {root} {point} rw,nosuid - cgroup2 cgroup rw\n"
V1 = "33 23 0:29 {root} {point} rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V1_MEMORY = "34 23 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


class Tree:
    """A fake /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def v2(self, membership: str, *, seen: str = "/", point: str = "/sys/fs/cgroup") -> None:
        self.write("/proc/self/cgroup", f"0::{membership}\n")
        self.write("/proc/self/mountinfo", V2.format(root=seen, point=point))

    def v1(self, membership: str, *, seen: str = "/", point: str = "/sys/fs/cgroup/cpu,cpuacct") -> None:
        self.write("/proc/self/cgroup", f"9:name=systemd:/\n4:memory:/x\n3:cpu,cpuacct:{membership}\n")
        self.write("/proc/self/mountinfo", V1_MEMORY + V1.format(root=seen, point=point))

    def v1_quota(self, folder: str, quota: int, period: int = 100_000) -> None:
        self.write(f"{folder}/cpu.cfs_quota_us", f"{quota}\n")
        self.write(f"{folder}/cpu.cfs_period_us", f"{period}\n")

    def count(self, affinity: int = 16) -> int:
        return available_cpus(self.root, affinity)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_without_cgroups_the_affinity_counts(tree: Tree) -> None:
    assert tree.count(7) == 7
    assert available_cpus(tree.root) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("150001 50000", 4),
        ("1000 100000", 1),
        ("9999999 100000", 16),
        ("0 100000", 16),
        ("nonsense", 16),
        ("", 16),
        ("-1 100000", 16),
        ("200000 0", 16),
    ],
)
def test_v2_in_a_container_with_its_own_namespace(tree: Tree, limit: str, count: int) -> None:
    tree.v2("/")
    tree.write("/sys/fs/cgroup/cpu.max", f"{limit}\n")
    assert tree.count() == count


def test_v2_the_smallest_quota_of_all_parents_counts(tree: Tree) -> None:
    tree.v2("/system.slice/docker-1.scope/inner")
    tree.write("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n")
    tree.write("/sys/fs/cgroup/system.slice/docker-1.scope/cpu.max", "600000 100000\n")
    tree.write("/sys/fs/cgroup/system.slice/docker-1.scope/inner/cpu.max", "max 100000\n")
    assert tree.count() == 3


def test_v2_seen_without_a_namespace_of_its_own(tree: Tree) -> None:
    tree.v2("/docker/1/inner", seen="/docker/1")
    tree.write("/sys/fs/cgroup/cpu.max", "500000 100000\n")
    tree.write("/sys/fs/cgroup/inner/cpu.max", "400000 100000\n")
    assert tree.count() == 4


@pytest.mark.parametrize("membership", ["/../..", "/elsewhere"])
def test_v2_outside_of_what_is_mounted(tree: Tree, membership: str) -> None:
    tree.v2(membership, seen="/docker/1")
    tree.write("/sys/fs/cgroup/cpu.max", "500000 100000\n")
    assert tree.count() == 5


def test_v1_in_a_container(tree: Tree) -> None:
    tree.v1("/docker/1", seen="/docker/1")
    tree.v1_quota("/sys/fs/cgroup/cpu,cpuacct", 250_000)
    assert tree.count() == 3


def test_v1_on_the_host_with_a_parent_that_allows_less(tree: Tree) -> None:
    tree.v1("/a/b")
    tree.v1_quota("/sys/fs/cgroup/cpu,cpuacct", -1)
    tree.v1_quota("/sys/fs/cgroup/cpu,cpuacct/a", 200_000)
    tree.v1_quota("/sys/fs/cgroup/cpu,cpuacct/a/b", 900_000)
    assert tree.count() == 2


def test_both_versions_at_once(tree: Tree) -> None:
    """A hybrid system: the cpu controller is in v1, and v2 holds nothing but names."""
    tree.v1("/a")
    tree.v1_quota("/sys/fs/cgroup/cpu,cpuacct/a", 400_000)
    membership = (tree.root / "proc/self/cgroup").read_text() + "0::/a\n"
    mounts = (tree.root / "proc/self/mountinfo").read_text()
    tree.write("/proc/self/cgroup", membership)
    tree.write("/proc/self/mountinfo", mounts + V2.format(root="/", point="/sys/fs/cgroup/unified"))
    assert tree.count() == 4


def test_odd_lines_are_left_out(tree: Tree) -> None:
    tree.write("/proc/self/cgroup", "nonsense\n\n0::/\n")
    tree.write("/proc/self/mountinfo", "nonsense\n\n1 2 - x\n" + V2.format(root="/", point="/sys/fs/cgroup"))
    tree.write("/sys/fs/cgroup/cpu.max", "300000 100000")
    assert tree.count() == 3


def test_there_is_always_one(tree: Tree) -> None:
    assert tree.count(0) == 1
