"""Two workers move their cache to other memory: whatever is written and read in between, no void answer is given."""

import os
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.cache_gate import CacheMemory
from proxy.caching.store import CacheDescriptors, Store, create_cache
from proxy.exchange import Exchange
from proxy.http1.request import parse_request_fields
from tests.fakes.cache import ANYBODY, BASE, SECRET, START, fill
from tests.fakes.cache_peers import ORIGIN
from tests.fakes.cache_world import Site
from tests.fakes.hand_loop import Loop

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources

FIELDS = b"Host: app.example.com\r\n"
STEPS = 3


def attached(made: CacheDescriptors) -> Store:
    """Attach with descriptors of one's own, as they come over a control channel."""
    return Store(CacheDescriptors(*map(os.dup, made)), SECRET)


class Worker:
    """A cache, and as much of a pipeline as it asks for; `done` counts its steps."""

    def __init__(self, made: CacheDescriptors) -> None:
        self.loop = Loop()
        self.cache: Any = None
        self.memory = CacheMemory(cast(Any, self), attached(made))
        self.done = 0

    def step(self, following: CacheDescriptors) -> None:
        """Take the next step to other memory."""
        match self.done:
            case 0:
                self.memory.open_beside(attached(following))
            case 1:
                self.memory.swap()
            case _:
                self.memory.leave_other()
        self.done += 1

    def keep(self, version: int) -> None:
        fill(self.cache.store, b"%d" % version)

    def kept(self) -> bytes | None:
        entry = self.cache.front.lookup(BASE, b"/", ANYBODY, START)
        if entry is None:
            _, entry = self.cache.front.find(BASE, b"/", ANYBODY, START)
        return None if entry is None else bytes(entry.body)

    def write(self) -> None:
        downstream = SimpleNamespace(origin=ORIGIN)
        fields = parse_request_fields(FIELDS, 1, 100)
        exchange = Exchange(cast(Any, downstream), cast(Any, None), b"POST", b"/", 1, fields, START)
        exchange.site = cast(Any, Site([]))
        self.cache.wrote(exchange)


def make() -> CacheDescriptors:
    return create_cache(1 << 18, 1 << 14)


@pytest.mark.parametrize("seed", range(60))
def test_nobody_answers_with_what_a_write_has_voided(seed: int) -> None:
    random = Random(seed)
    made, following = make(), make()
    workers = [Worker(made), Worker(made)]
    version = 0
    while min(worker.done for worker in workers) < STEPS:
        worker = random.choice(workers)
        match random.randrange(4):
            case 0:
                version += 1
                worker.write()
            case 1:
                worker.keep(version)
            case 2:
                assert worker.kept() in (None, b"%d" % version)
            case _ if worker.done == min(one.done for one in workers) and worker.done < STEPS:
                worker.step(following)
    for worker in workers:
        worker.cache.store.leave()
    for descriptor in (*made, *following):
        os.close(descriptor)


def test_memory_in_which_a_fetch_is_under_way_is_left_when_that_is_over() -> None:
    made, following = make(), make()
    worker = Worker(made)
    former = worker.cache
    former.waits.fills["a fetch"] = None
    for _ in range(STEPS):
        worker.step(following)
    worker.loop.pass_time(5)
    former.store.get(BASE, b"/", ANYBODY, START)
    former.waits.fills.clear()
    worker.loop.pass_time(1)
    with pytest.raises(ValueError, match="released"):
        former.store.get(BASE, b"/", ANYBODY, START)
    worker.cache.store.leave()
    for descriptor in (*made, *following):
        os.close(descriptor)


def test_a_worker_that_starts_in_the_middle_leaves_the_memory_beside() -> None:
    made, following = make(), make()
    old, late = Worker(made), Worker(following)
    old.step(following)
    old.step(following)
    late.memory.open_beside(attached(made))
    old.keep(1)
    late.write()
    assert old.kept() is None
    late.memory.leave_other()
    assert late.kept() is None
    for worker in (old, late):
        worker.memory.leave_other()
        worker.cache.store.leave()
    for descriptor in (*made, *following):
        os.close(descriptor)
