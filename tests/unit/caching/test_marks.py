"""Marks: remembered for their time, forgotten by themselves, never somebody else's."""

from hashlib import blake2b

import pytest

from proxy.caching.marks import Marks, UpstreamState
from proxy.caching.record import SECOND
from proxy.caching.store import Store
from tests.fakes.cache import START

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


@pytest.fixture
def marks(store: Store) -> Marks:
    return store.marks


def test_hit_for_miss_is_remembered_until_its_end(marks: Marks) -> None:
    assert not marks.is_uncacheable(KEY, START)
    marks.set_uncacheable(KEY, START, 10.0)
    assert marks.is_uncacheable(KEY, START + 10 * SECOND - 1_000_000)
    assert not marks.is_uncacheable(KEY, START + 10 * SECOND)
    assert not marks.is_uncacheable(OTHER, START)


def test_an_upstream_that_fails_is_left_alone_and_then_probed(marks: Marks) -> None:
    assert marks.upstream_state(KEY, START) is UpstreamState.WORKING
    marks.set_failing(KEY, START, 1.0)
    assert marks.upstream_state(KEY, START) is UpstreamState.FAILING
    assert marks.upstream_state(KEY, START + SECOND) is UpstreamState.PROBE_DUE
    assert marks.upstream_state(KEY, START + 62 * SECOND) is UpstreamState.WORKING


def test_who_probes_keeps_others_from_it(marks: Marks) -> None:
    marks.set_failing(KEY, START, 1.0)
    later = START + 2 * SECOND
    assert marks.upstream_state(KEY, later) is UpstreamState.PROBE_DUE
    marks.set_failing(KEY, later, 5.0)
    assert marks.upstream_state(KEY, later) is UpstreamState.FAILING


def test_an_upstream_that_works_again_is_asked_again(marks: Marks) -> None:
    marks.set_failing(KEY, START, 1.0)
    marks.set_working(KEY)
    assert marks.upstream_state(KEY, START) is UpstreamState.WORKING
    marks.set_working(OTHER)


def test_the_two_kinds_do_not_mix(marks: Marks) -> None:
    marks.set_uncacheable(KEY, START, 10.0)
    assert marks.upstream_state(KEY, START) is UpstreamState.WORKING
    marks.set_failing(KEY, START, 10.0)
    assert marks.is_uncacheable(KEY, START)


def test_memory_marks_take_turns_in_a_table_of_fixed_size(marks: Marks) -> None:
    keys = [blake2b(b"%d" % number, digest_size=32).digest() for number in range(10_000)]
    for key in keys:
        marks.set_uncacheable(key, START, 10.0)
    remembered = sum(marks.is_uncacheable(key, START) for key in keys)
    assert 0 < remembered <= marks._count
