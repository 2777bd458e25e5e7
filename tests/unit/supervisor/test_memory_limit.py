"""The memory limit of a container, and whether the configuration fits."""

from pathlib import Path

import pytest

from proxy.config.schema import Cache, Config, Server
from proxy.supervisor.memory_limit import memory_limit, needed_memory, warn_of_memory

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n"
V1 = "34 23 0:30 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
CONFIG = Config(server=Server(workers=2), cache=Cache(size=64 << 20))


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_v2_the_smallest_on_the_way_up_counts(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/foregate.service\n")
    write(tmp_path, "proc/self/mountinfo", V2)
    assert memory_limit(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/system.slice/foregate.service/memory.max", "max\n")
    assert memory_limit(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/system.slice/memory.max", "268435456\n")
    assert memory_limit(tmp_path) == 256 << 20
    write(tmp_path, "sys/fs/cgroup/system.slice/foregate.service/memory.max", "134217728\n")
    assert memory_limit(tmp_path) == 128 << 20


def test_v1_has_a_huge_number_where_there_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "9:memory:/docker/x\n3:cpu:/docker/y\n")
    write(tmp_path, "proc/self/mountinfo", V1)
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert memory_limit(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "100000000\n")
    assert memory_limit(tmp_path) == 100_000_000


def test_it_warns_where_a_full_cache_does_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    needed = needed_memory(CONFIG)
    assert 128 << 20 < needed < 256 << 20
    warn_of_memory(CONFIG, None)
    warn_of_memory(CONFIG, needed)
    assert caplog.messages == []
    warn_of_memory(CONFIG, needed - 1)
    assert caplog.messages == ["the memory limit is too low for a full cache"]
