"""The worker's counters: every word counts one thing, and unknown names count as "other"."""

from itertools import pairwise

import pytest

from proxy.telemetry import counters
from proxy.telemetry.counters import (
    BYPASS_REASONS,
    CACHE_OUTCOMES,
    COUNTERS_SIZE,
    DURATION_BOUNDS,
    PARSE_ERROR_KINDS,
    PROCESS_WORDS,
    SITE_WORDS,
    STATUS_CODES,
    STATUS_LABELS,
    UPSTREAM_ERRORS,
    SiteCounters,
    WorkerCounters,
)


@pytest.fixture
def words() -> memoryview:
    return memoryview(bytearray(COUNTERS_SIZE)).cast("Q")


def block(words: memoryview, number: int) -> list[int]:
    first = PROCESS_WORDS + number * SITE_WORDS
    cells: list[int] = words[first : first + SITE_WORDS].tolist()
    return cells


def changed(cells: list[int]) -> dict[int, int]:
    return {place: count for place, count in enumerate(cells) if count}


@pytest.mark.parametrize("status", [*STATUS_CODES, 999, 299])
@pytest.mark.parametrize("outcome", range(len(CACHE_OUTCOMES)))
def test_a_request_counts_under_its_status_and_outcome(words: memoryview, status: int, outcome: int) -> None:
    SiteCounters(words, 3).request(status, outcome, 3_000_000, 100, 2000)
    label = str(status) if status in STATUS_CODES else "other"
    assert changed(block(words, 3)) == {
        counters.REQUESTS + STATUS_LABELS.index(label) * len(CACHE_OUTCOMES) + outcome: 1,
        counters.DURATION_BUCKETS + DURATION_BOUNDS.index(0.005): 1,
        counters.DURATION_SUM: 3_000_000,
        counters.RECEIVED: 100,
        counters.SENT: 2000,
    }


@pytest.mark.parametrize(
    ("milliseconds", "bucket"), [(0, 0), (1, 0), (1.1, 1), (60e3, 14), (60.1e3, 15), (1e9, 15)]
)
def test_a_bound_belongs_to_its_bucket(words: memoryview, milliseconds: float, bucket: int) -> None:
    site = SiteCounters(words, 0)
    site.request(200, 0, int(milliseconds * 1e6), 0, 0)
    site.upstream(int(milliseconds * 1e6))
    assert block(words, 0)[counters.DURATION_BUCKETS + bucket] == 1
    assert block(words, 0)[counters.UPSTREAM_BUCKETS + bucket] == 1


def test_a_duration_from_a_clock_that_goes_back_is_refused(words: memoryview) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the wording is Python's
        SiteCounters(words, 0).request(200, 0, -1, 0, 0)


def test_every_other_figure_of_a_site_has_a_word_of_its_own(words: memoryview) -> None:
    site = SiteCounters(words, 1)
    site.limited()
    site.limited(2)
    site.limited_dry_run()
    site.denied()
    site.retried()
    site.stored()
    assert changed(block(words, 1)) == {
        counters.LIMITED: 3,
        counters.LIMITED_DRY_RUN: 1,
        counters.DENIED: 1,
        counters.RETRIES: 1,
        counters.STORED: 1,
    }


@pytest.mark.parametrize("reason", [*BYPASS_REASONS, "no such reason"])
def test_bypass_reasons(words: memoryview, reason: str) -> None:
    SiteCounters(words, 0).bypassed(reason)
    place = counters.BYPASSED + BYPASS_REASONS.index(reason if reason in BYPASS_REASONS else "other")
    assert changed(block(words, 0)) == {place: 1}


@pytest.mark.parametrize("reason", [*UPSTREAM_ERRORS, "no such reason"])
def test_upstream_errors(words: memoryview, reason: str) -> None:
    SiteCounters(words, 0).upstream_failed(reason)
    place = counters.UPSTREAM_FAILED + UPSTREAM_ERRORS.index(reason if reason in UPSTREAM_ERRORS else "other")
    assert changed(block(words, 0)) == {place: 1}


@pytest.mark.parametrize("kind", [*PARSE_ERROR_KINDS, "no such kind"])
def test_parse_errors(words: memoryview, kind: str) -> None:
    WorkerCounters(words).parse_error(kind)
    number = PARSE_ERROR_KINDS.index(kind if kind in PARSE_ERROR_KINDS else "other")
    assert changed(words.tolist()) == {counters.FIRST_PARSE_ERROR + number: 1}


def test_the_counters_of_the_process(words: memoryview) -> None:
    worker = WorkerCounters(words)
    worker.add(counters.HTTP_OPENED)
    worker.add(counters.HTTP_OPENED, 4)
    worker.add(counters.HTTP_CLOSED, 2)
    assert worker.open(counters.HTTP_OPENED, counters.HTTP_CLOSED) == 3


def test_a_site_has_one_object_and_no_site_is_beyond_the_last(words: memoryview) -> None:
    worker = WorkerCounters(words)
    assert worker.site(7) is worker.site(7)
    worker.site(counters.MAX_SITES - 1).denied()
    for index in (-1, counters.MAX_SITES):
        with pytest.raises(ValueError, match="no block"):
            worker.site(index)


def test_the_layout_fits_and_nothing_overlaps() -> None:
    places = (
        (counters.REQUESTS, len(STATUS_LABELS) * len(CACHE_OUTCOMES)),
        (counters.DURATION_BUCKETS, len(DURATION_BOUNDS) + 1),
        (counters.DURATION_SUM, 1),
        (counters.UPSTREAM_BUCKETS, len(DURATION_BOUNDS) + 1),
        (counters.UPSTREAM_SUM, 1),
        (counters.RECEIVED, 1),
        (counters.SENT, 1),
        (counters.LIMITED, 1),
        (counters.LIMITED_DRY_RUN, 1),
        (counters.DENIED, 1),
        (counters.RETRIES, 1),
        (counters.STORED, 1),
        (counters.BYPASSED, len(BYPASS_REASONS)),
        (counters.UPSTREAM_FAILED, len(UPSTREAM_ERRORS)),
    )
    assert all(first + length == following for (first, length), (following, _) in pairwise(places))
    last, length = places[-1]
    assert last + length <= SITE_WORDS
    assert counters.FIRST_PARSE_ERROR + len(PARSE_ERROR_KINDS) <= counters.FIRST_HANDSHAKE_FAILURE
    assert counters.FIRST_HANDSHAKE_FAILURE + len(counters.HANDSHAKE_FAILURES) <= PROCESS_WORDS
