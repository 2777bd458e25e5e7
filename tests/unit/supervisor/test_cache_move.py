"""The cache's way to other memory, as the workers hear of it."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from proxy.caching.store import CacheDescriptors, create_cache
from proxy.config.schema import Cache, Config, Route, Site, Tls
from proxy.control.messages import Command, LeaveOtherCache, OpenCacheBeside, SwapCaches
from proxy.supervisor.cache_move import CacheMove
from proxy.supervisor.errors import StartError
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.shared_regions import SharedRegions
from proxy.traffic.limiter_table import KEY_SIZE, LimiterTable

MEGABYTE = 1 << 20


@dataclass
class NotedPool:
    """Workers that do at once what they are told; notes what new ones would get at each step."""

    regions: SharedRegions
    has_predecessors: bool = False
    steps: list[tuple[type[Command], int, int | None]] = field(default_factory=list)

    async def carry_out(self, command: Command, _descriptors: Sequence[int], _patience: float) -> None:
        beside = self.regions.cache_beside
        self.steps.append((type(command), self.regions.cache.size, beside.size if beside else None))


def config_of(size: int, largest: int = 1 << 16) -> Config:
    cache = Cache(size=size, object_size=largest)
    site = Site(domains=("*",), name="*", tls=Tls(), routes=(Route(path="", upstream=(), cache=cache),))
    return Config(cache=cache, sites=(site,))


@pytest.fixture
def pool() -> Iterator[NotedPool]:
    regions = SharedRegions(config_of(MEGABYTE), lambda: LimiterTable.create(bytes(KEY_SIZE)))
    yield NotedPool(regions)
    regions.close()


def move_of(pool: NotedPool) -> CacheMove:
    return CacheMove(pool.regions, cast("WorkerPool", pool))


async def test_all_workers_take_each_step_before_the_next(pool: NotedPool) -> None:
    move = move_of(pool)
    made = move.prepare(config_of(2 * MEGABYTE))
    assert made is not None
    await move.carry_out(made)
    assert pool.steps == [
        (OpenCacheBeside, MEGABYTE, 2 * MEGABYTE),
        (SwapCaches, 2 * MEGABYTE, MEGABYTE),
        (LeaveOtherCache, 2 * MEGABYTE, None),
    ]
    assert pool.regions.cache is made


def test_nothing_moves_for_what_fits(pool: NotedPool) -> None:
    assert move_of(pool).prepare(config_of(MEGABYTE, largest=1 << 17)) is None


def test_larger_answers_need_larger_parts(pool: NotedPool) -> None:
    regions = pool.regions
    regions.cache.close()
    regions.cache = regions.make_cache(config_of(64 * MEGABYTE))
    assert regions.fits_cache(config_of(64 * MEGABYTE, largest=MEGABYTE))
    made = move_of(pool).prepare(config_of(64 * MEGABYTE, largest=12 * MEGABYTE))
    assert made is not None
    assert made.store.largest_octets > 12 * MEGABYTE
    made.close()


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no cache of 3 MB be had."""

    def create(size: int, largest_object: int) -> CacheDescriptors:
        if size == 3 * MEGABYTE:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return create_cache(size, largest_object)

    monkeypatch.setattr("proxy.supervisor.shared_regions.create_cache", create)


@pytest.mark.usefixtures("without_memory")
def test_memory_that_is_not_to_be_had_is_a_reason_to_refuse(pool: NotedPool) -> None:
    with pytest.raises(StartError) as caught:
        move_of(pool).prepare(config_of(3 * MEGABYTE))
    assert str(caught.value) == 'there is no memory for [cache] size = "3MB": Cannot allocate memory'


async def test_what_waited_for_the_workers_of_a_former_program_happens_later(pool: NotedPool) -> None:
    move = move_of(pool)
    pool.has_predecessors = True
    await move.catch_up(config_of(2 * MEGABYTE))
    assert not move.is_possible
    assert not pool.steps
    pool.has_predecessors = False
    await move.catch_up(config_of(2 * MEGABYTE))
    assert pool.regions.cache.size == 2 * MEGABYTE
    await move.catch_up(config_of(2 * MEGABYTE))
    assert len(pool.steps) == 3


@pytest.mark.usefixtures("without_memory")
async def test_memory_that_is_missing_is_said_once_for_a_size(
    pool: NotedPool, caplog: pytest.LogCaptureFixture
) -> None:
    move = move_of(pool)
    missing = config_of(3 * MEGABYTE)
    for _ in range(3):
        await move.catch_up(missing)
    assert [record.message for record in caplog.records] == ["the cache keeps its size"]
    assert not move.is_due(missing)
    await move.catch_up(config_of(2 * MEGABYTE))
    assert pool.regions.cache.size == 2 * MEGABYTE
