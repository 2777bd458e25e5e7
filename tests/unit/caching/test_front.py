"""The worker's own map: fresh, valid, bounded, and out of reach of a flood (RFC 9111 section 4)."""

import pytest

from proxy.caching.front import Entry, Freshness, Front, freshness_of
from proxy.caching.identity import Identity
from proxy.caching.outcomes import Reason
from proxy.caching.record import SECOND
from proxy.caching.store import Store
from tests.fakes.cache import ANYBODY, BASE, SITE, START, WALL, fill, identity_of

GZIP = identity_of((b"accept-encoding", b"gzip"))
BROTLI = identity_of((b"accept-encoding", b"br"))
ALICE = identity_of((b"cookie", b"session=alice"))
VARY = (b"vary", b"accept-encoding")


@pytest.fixture
def front(store: Store) -> Front:
    return Front(store)


def body_of(
    front: Front, identity: Identity = ANYBODY, target: bytes = b"/", now: int = START
) -> bytes | None:
    entry = front.lookup(BASE, target, identity, now)
    return None if entry is None else entry.body


def load(front: Front, identity: Identity = ANYBODY, target: bytes = b"/", now: int = START) -> Entry | None:
    return front.find(BASE, target, identity, now)[1]


def test_an_entry_comes_in_when_it_is_asked_for_the_second_time(store: Store, front: Front) -> None:
    fill(store, b"x")
    assert body_of(front) is None
    assert load(front) is not None
    assert body_of(front) == b"x"


def test_it_is_given_to_the_same_request_alone(store: Store, front: Front) -> None:
    fill(store, b"x", identity=ALICE)
    load(front, ALICE)
    assert body_of(front, ALICE) == b"x"
    assert body_of(front) is None
    assert body_of(front, ALICE, b"/other") is None
    assert front.lookup(b"http app.example.com 80 ", b"/", ALICE, START) is None


def test_rfc9111_4_1_variants(store: Store, front: Front) -> None:
    fill(store, b"zipped", VARY, identity=GZIP)
    fill(store, b"brotli", VARY, identity=BROTLI)
    load(front, GZIP)
    assert body_of(front, GZIP) == b"zipped"
    assert body_of(front, BROTLI) is None
    load(front, BROTLI)
    assert body_of(front, GZIP) == b"zipped"
    assert body_of(front, BROTLI) == b"brotli"
    assert body_of(front) is None


def test_rfc9111_4_2_it_expires_under_constant_hits(store: Store, front: Front) -> None:
    fill(store, b"x")
    load(front)
    step = SECOND // 10
    alive = [body_of(front, now=now) is not None for now in range(START, START + 4 * SECOND, step)]
    assert alive == [True] * 30 + [False] * 10


def test_own_writes_and_purges_are_seen_by_the_map(store: Store, front: Front) -> None:
    for void in (
        lambda: store.invalidations.invalidate(SITE, [b"/"], ANYBODY),
        lambda: store.invalidations.invalidate(SITE, [b"/post"], ALICE),
        lambda: store.invalidations.purge(SITE, b"/"),
    ):
        fill(store, b"x", identity=ALICE)
        load(front, ALICE)
        assert body_of(front, ALICE) == b"x"
        void()
        assert body_of(front, ALICE) is None
        assert load(front, ALICE) is None


def test_what_concerns_others_is_looked_at_once(
    store: Store, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, b"x")
    load(front)
    store.invalidations.invalidate(SITE, [b"/post"], ALICE)
    assert body_of(front) == b"x"
    monkeypatch.setattr(type(store.invalidations), "confirm", lambda *_: pytest.fail("looked at again"))
    assert body_of(front) == b"x"


def test_memory_is_bounded_in_octets_and_the_oldest_gives_way(store: Store) -> None:
    front = Front(store, limit=100_000)
    for number in range(200):
        target, now = b"/%d" % number, START + number * SECOND
        fill(store, bytes(500), target=target, now=now)
        load(front, target=target, now=now)
        assert front.octets <= 100_000
    assert body_of(front, target=b"/199", now=now) is not None
    assert len(front._entries) < 100


@pytest.mark.parametrize("varies", [False, True])
def test_memory_more_entries_than_fit_asked_for_in_turn_do_not_push_out_each_other(
    store: Store, varies: bool
) -> None:
    front = Front(store, limit=100_000)
    targets = [b"/%d" % number for number in range(100)]
    for target in targets:
        fill(store, b"x", *([VARY] if varies else []), target=target)
    found = 0
    for _ in range(20):
        for target in targets:
            if body_of(front, target=target) is None:
                load(front, target=target)
                assert front.octets <= 100_000
            else:
                found += 1
    assert found > 200  # of 2,000; first in, first out alone would find none


def test_memory_what_is_refreshed_is_let_in_however_crowded_it_is(store: Store) -> None:
    front = Front(store, limit=100_000)
    for number in range(100):
        fill(store, b"old", target=b"/%d" % number)
        load(front, target=b"/%d" % number)
    inside = next(iter(front._entries))[1]
    store.invalidations.invalidate(SITE, [inside], ANYBODY)
    for _ in range(3):
        fill(store, b"new", target=inside)
        load(front, target=inside)
        assert body_of(front, target=inside) == b"new"


def test_memory_the_count_of_octets_comes_back_to_nothing(store: Store) -> None:
    front = Front(store, limit=100_000)
    for number in range(100):
        identity = (GZIP, BROTLI)[number % 2]
        fill(store, bytes(number), VARY, identity=identity, target=b"/%d" % (number % 5))
        load(front, identity, b"/%d" % (number % 5))
    kept = sum(sum(map(len, key)) + entry.size for key, entry in front._entries.items())
    assert front.octets == kept


def test_memory_a_flood_of_requests_that_are_never_repeated_leaves_the_map_alone(store: Store) -> None:
    front = Front(store, limit=20_000)
    fill(store, b"popular")
    load(front)
    for number in range(1000):
        assert body_of(front, target=b"/?%d" % number) is None
        assert load(front, target=b"/?%d" % number) is None
        fill(store, bytes(500), target=b"/?%d" % number)
    assert body_of(front) == b"popular"


def test_an_entry_that_would_fill_the_map_is_served_but_not_kept(store: Store) -> None:
    front = Front(store, limit=20_000)
    fill(store, bytes(10_000))
    assert load(front) is not None
    assert front.octets == 0


def test_stale_entries_are_found_but_not_kept(store: Store, front: Front) -> None:
    fill(store, b"x")
    late = START + 4 * SECOND
    entry = load(front, now=late)
    assert entry is not None
    assert freshness_of(entry.stored, late) is Freshness.ON_ERROR
    assert front.octets == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, Freshness.FRESH),
        (0.99, Freshness.FRESH),
        (1.0, Freshness.REVALIDATE),
        (2.99, Freshness.REVALIDATE),
        (3.0, Freshness.ON_ERROR),
        (5.99, Freshness.ON_ERROR),
        (6.0, Freshness.EXPIRED),
    ],
)
def test_rfc5861_what_a_stale_answer_is_good_for(
    store: Store, front: Front, seconds: float, expected: Freshness
) -> None:
    fill(store, b"x", (b"cache-control", b"max-age=1, stale-while-revalidate=2, stale-if-error=5"))
    now = START + int(seconds * SECOND)
    entry = load(front, now=now)
    assert entry is not None
    assert freshness_of(entry.stored, now) is expected


def test_rfc9111_5_1_age_grows_and_ttl_shrinks(store: Store, front: Front) -> None:
    fill(store, b"x", (b"age", b"10"))
    entry = load(front)
    assert entry is not None
    assert entry.moment_lines(START).startswith(b"Age: 10\r\nCache-Status: foregate; hit; ttl=3\r\n")
    assert entry.moment_lines(START + SECOND).startswith(b"Age: 11\r\nCache-Status: foregate; hit; ttl=2\r\n")
    assert b"ttl=-2\r\nX-Cache-Status: STALE" in entry.moment_lines(START + 5 * SECOND)


def test_rfc9211_2_2_a_stale_answer_after_a_failed_fetch(store: Store, front: Front) -> None:
    fill(store, b"x")
    entry = load(front)
    assert entry is not None
    assert entry.failed_lines(START + 5 * SECOND, 502) == (
        b"Age: 5\r\nCache-Status: foregate; fwd=stale; fwd-status=502\r\nX-Cache-Status: STALE\r\n"
    )


def test_splitting_the_head_of_an_answer_has_no_line_of_its_own_making(store: Store, front: Front) -> None:
    fill(store, b"x", (b"x-reflected", b"value"))
    entry = load(front)
    assert entry is not None
    head = entry.prefix + entry.moment_lines(START)
    assert head.count(b"\r\n\r\n") == 0
    assert head.endswith(b"\r\n")
    assert b"x-reflected: value\r\n" in head


def test_an_entry_is_shaped_to_a_request(store: Store, front: Front) -> None:
    fill(store, b"0123456789", (b"etag", b'"v1"'))
    entry = load(front)
    assert entry is not None
    whole = entry.shape(b"GET", ANYBODY, WALL)
    assert whole is not None
    assert (whole.prefix, whole.content) == (entry.prefix, entry.body)
    same = entry.shape(b"GET", identity_of((b"if-none-match", b'"v1"')), WALL)
    assert same is not None
    assert same.status == 304
    assert entry.shape(b"GET", identity_of((b"range", b"bytes=0-1,3-4")), WALL) is None
    assert Reason.RANGE.value == "range"
