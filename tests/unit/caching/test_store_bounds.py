"""The store takes exactly the memory that it was given, whatever goes into it, and none of Python's heap for it."""

import gc
import os
import resource
import tracemalloc

import pytest

from proxy.caching.record import SECOND
from proxy.caching.store import Store, create_cache
from tests.fakes.cache import SECRET, SITE, START, fetched, identity_of

MEGABYTE = 1 << 20


def fill_up(store: Store, first: int, last: int) -> None:
    """Do all that a worker does for so many answers, each to another user and target."""
    for number in range(first, last):
        identity, target = identity_of((b"cookie", b"session=%d" % number)), b"/%d" % number
        response = fetched(store, bytes(400), (b"vary", b"accept"), identity=identity, target=target)
        found = store.get(b"base", target, identity, START)
        store.claims.claim(found.fill_key, response.stamp.fingerprint, now=START, deadline=START + SECOND)
        store.put(found.key, identity, response, START)
        store.claims.release(found.fill_key, response.stamp.fingerprint)
        store.marks.set_uncacheable(found.fill_key, START, 1.0)
        store.get(b"base", target, identity, START)
        if not number % 50:
            store.invalidations.invalidate(SITE, [target], identity)
            store.invalidations.purge(SITE, b"/none")


def test_the_memory_stays_as_it_is_when_many_times_as_much_goes_in() -> None:
    size = MEGABYTE
    made = create_cache(size, 100_000)
    store = Store(made, SECRET)
    fill_up(store, 0, 3000)
    state = os.fstat(made.memory)
    assert size - 8 < state.st_size <= size
    assert state.st_blocks * 512 <= size + resource.getpagesize()
    assert store.evicted > 1000
    assert MEGABYTE // 2 < store.stored_octets <= size
    with pytest.raises(PermissionError):
        os.ftruncate(made.memory, 2 * size)  # sealed
    store.close()


def test_the_heap_does_not_grow_with_the_number_of_entries() -> None:
    store = Store.create(16 * MEGABYTE, SECRET)
    fill_up(store, 0, 300)  # what is remembered of sites and directives is there from now on
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    fill_up(store, 300, 1500)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert store.stored_octets > MEGABYTE
    assert store.evicted == 0
    assert grown < 4800  # four octets an entry: nothing is kept for it
    store.close()
