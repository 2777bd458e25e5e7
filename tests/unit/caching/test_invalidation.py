"""Own writes and purges make stored responses void, in every order of events (RFC 9111 section 4.4)."""

import pytest

from proxy.caching.identity import Identity
from proxy.caching.invalidation import Invalidations
from proxy.caching.layout import PURGES
from proxy.caching.record import Stamp
from proxy.caching.store import Store
from proxy.shared_memory import StripedLock
from tests.fakes.cache import ANYBODY, SITE, identity_of

ALICE = identity_of((b"cookie", b"session=alice; theme=dark"))
BOB = identity_of((b"cookie", b"session=bob"))
OTHER_SITE = b"other.example"


@pytest.fixture
def invalidations(store: Store) -> Invalidations:
    return store.invalidations


def begin(
    invalidations: Invalidations, target: bytes = b"/list", site: bytes = SITE, identity: Identity = ALICE
) -> Stamp:
    return invalidations.begin(site, target.partition(b"?")[0], target, identity)


def test_a_fetch_is_valid_as_long_as_nothing_happens(invalidations: Invalidations) -> None:
    assert invalidations.is_valid(begin(invalidations))


def test_rfc9111_4_4_a_write_voids_its_target_for_everybody(invalidations: Invalidations) -> None:
    before = begin(invalidations, b"/item/1", identity=BOB)
    invalidations.invalidate(SITE, [b"/item/1"], ALICE)
    assert not invalidations.is_valid(before)
    assert invalidations.is_valid(begin(invalidations, b"/item/1", identity=BOB))


def test_rfc9111_4_4_location_is_voided_too(invalidations: Invalidations) -> None:
    before = begin(invalidations, b"/item/2", identity=BOB)
    invalidations.invalidate(SITE, [b"/items", b"/item/2"], ANYBODY)
    assert not invalidations.is_valid(before)


def test_a_write_with_a_credential_voids_all_that_is_kept_for_it(invalidations: Invalidations) -> None:
    mine, others, public = (begin(invalidations, identity=who) for who in (ALICE, BOB, ANYBODY))
    invalidations.invalidate(SITE, [b"/post"], ALICE)
    assert not invalidations.is_valid(mine)
    assert invalidations.is_valid(others)
    assert invalidations.is_valid(public)


def test_a_cookie_that_is_sent_with_one_path_alone_does_not_hide_a_write(
    invalidations: Invalidations,
) -> None:
    read = begin(invalidations, identity=identity_of((b"cookie", b"session=alice")))
    written_by = identity_of((b"cookie", b"csrf=1; session=alice"))
    invalidations.invalidate(SITE, [b"/admin/save"], written_by)
    assert not invalidations.is_valid(read)


def test_another_sites_same_cookie_and_target_are_not_concerned(invalidations: Invalidations) -> None:
    there = begin(invalidations, site=OTHER_SITE)
    invalidations.invalidate(SITE, [b"/list"], ALICE)
    assert invalidations.is_valid(there)


def test_a_fetch_during_the_write_is_void_when_the_write_is_over(invalidations: Invalidations) -> None:
    invalidations.invalidate(SITE, [b"/list"], ALICE)
    during = begin(invalidations)
    invalidations.invalidate(SITE, [b"/list"], ALICE)
    assert not invalidations.is_valid(during)


def test_a_worker_stopped_within_its_write_cannot_take_back_anothers(
    invalidations: Invalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One draws its value, is stopped, and stores it after another's write and a fetch in between."""
    values = iter([11, 12, 13, 14, 15, 16, 17, 18])
    monkeypatch.setattr("proxy.caching.invalidation._new_value", lambda: next(values))
    old = begin(invalidations, identity=ANYBODY)
    late = invalidations._places(SITE, [b"/list"], ())
    invalidations.invalidate(SITE, [b"/list"], ANYBODY)
    between = begin(invalidations, identity=ANYBODY)
    for place in late:
        invalidations._words[place] = 99
    assert not invalidations.is_valid(old)
    assert not invalidations.is_valid(between)


def test_values_never_come_again(invalidations: Invalidations) -> None:
    seen = set()
    for _ in range(2000):
        invalidations.invalidate(SITE, [b"/list"], ANYBODY)
        seen.add((invalidations.generation[0], begin(invalidations, identity=ANYBODY).tokens[0][1]))
    assert len(seen) == 2000


def test_every_invalidation_changes_the_generation(invalidations: Invalidations) -> None:
    generations = {invalidations.generation[0]}
    invalidations.invalidate(SITE, [b"/x"], ANYBODY)
    generations.add(invalidations.generation[0])
    assert invalidations.purge()
    generations.add(invalidations.generation[0])
    assert len(generations) == 3


def test_confirming_gives_the_generation_or_nothing(invalidations: Invalidations) -> None:
    stamp = begin(invalidations)
    assert invalidations.confirm(stamp) == invalidations.generation[0]
    invalidations.invalidate(SITE, [b"/list"], ANYBODY)
    assert invalidations.confirm(stamp) is None


@pytest.mark.sources
def test_an_invalidation_while_confirming_shows_at_the_next_hit(
    invalidations: Invalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generation is read first: one that changes during the check is never taken for confirmed."""
    stamp = begin(invalidations)
    is_valid = Invalidations.is_valid

    def check_then_write(self: Invalidations, stamp: Stamp) -> bool:
        result = is_valid(self, stamp)
        self.invalidate(SITE, [b"/list"], ANYBODY)
        return result

    monkeypatch.setattr(Invalidations, "is_valid", check_then_write)
    assert invalidations.confirm(stamp) != invalidations.generation[0]


@pytest.mark.parametrize(
    ("site", "prefix", "voided"),
    [
        (b"", b"", True),
        (SITE, b"", True),
        (SITE, b"/blog", True),
        (SITE, b"/blog/post", True),
        (SITE, b"/blog/posts", False),
        (SITE, b"/shop", False),
        (b"", b"/blog", True),
        (b"", b"/shop", False),
        (OTHER_SITE, b"", False),
        (OTHER_SITE, b"/blog", False),
    ],
)
def test_a_purge_voids_a_site_and_a_prefix(
    invalidations: Invalidations, site: bytes, prefix: bytes, voided: bool
) -> None:
    before = begin(invalidations, b"/blog/post?x=1")
    assert invalidations.purge(site, prefix)
    assert invalidations.is_valid(before) is not voided
    assert invalidations.is_valid(begin(invalidations, b"/blog/post?x=1"))


def test_a_prefix_too_long_to_keep_voids_more_never_less(invalidations: Invalidations) -> None:
    before = begin(invalidations, b"/" + b"a" * 5000)
    assert invalidations.purge(SITE, b"/" + b"a" * 4000)
    assert not invalidations.is_valid(before)


def test_more_purges_than_are_kept_void_everything_older(invalidations: Invalidations) -> None:
    before = begin(invalidations)
    for _ in range(PURGES - 1):
        invalidations.purge(OTHER_SITE)
    assert invalidations.is_valid(before)
    invalidations.purge(OTHER_SITE)
    assert not invalidations.is_valid(before)
    assert invalidations.is_valid(begin(invalidations))


def test_a_purge_that_finds_the_table_busy_says_so(
    invalidations: Invalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begin(invalidations)
    monkeypatch.setattr(StripedLock, "try_acquire", lambda *_: False)
    assert not invalidations.purge()
    assert invalidations.is_valid(before)


def test_collisions_only_ever_void_too_much(invalidations: Invalidations) -> None:
    stamps = [begin(invalidations, b"/%d" % number, identity=ANYBODY) for number in range(2000)]
    invalidations.invalidate(SITE, [b"/7"], ANYBODY)
    assert not invalidations.is_valid(stamps[7])
    void = sum(not invalidations.is_valid(stamp) for stamp in stamps)
    assert 1 <= void < 20
