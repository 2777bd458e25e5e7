"""The shared store: keys, variants, what is void, what is stale (RFC 9111 sections 2, 4.1)."""

import os

import pytest

from proxy.caching.layout import KIND, LAYOUT_VERSION, SMALLEST, region_size
from proxy.caching.record import SECOND
from proxy.caching.ring import Put
from proxy.caching.store import CacheDescriptors, Store, create_cache
from proxy.caching.vary import MAX_VARIANTS
from proxy.shared_memory import SharedMemory, SharedMemoryError
from tests.fakes.cache import (
    ANYBODY,
    BASE,
    SECRET,
    SITE,
    START,
    body_of,
    fetched,
    fill,
    identity_of,
    stamp_of,
)

GZIP = identity_of((b"accept-encoding", b"gzip"))
GZIP_TOO = identity_of((b"accept-encoding", b"GZIP;q=0.5"))
BROTLI = identity_of((b"accept-encoding", b"br"))
VARY = (b"vary", b"accept-encoding")


def test_a_response_is_found_by_the_same_request_alone(store: Store) -> None:
    fill(store, b"one", target=b"/one")
    assert body_of(store, target=b"/one") == b"one"
    assert body_of(store, target=b"/two") is None
    assert body_of(store, identity_of((b"cookie", b"a=1")), target=b"/one") is None


def test_moments_are_kept(store: Store) -> None:
    fill(store, b"x", (b"age", b"7"), (b"cache-control", b"max-age=8, stale-while-revalidate=4"))
    stored = store.get(BASE, b"/", ANYBODY, START).stored
    assert stored is not None
    assert stored.born == START - 7 * SECOND
    assert stored.fresh_until == START + SECOND
    assert stored.revalidate_until == START + 5 * SECOND
    assert stored.error_until == START + 31 * SECOND


def test_an_age_from_before_the_machine_started_is_kept(store: Store) -> None:
    fill(store, b"x", (b"age", b"100000"))
    stored = store.get(BASE, b"/", ANYBODY, START).stored
    assert stored is not None
    assert (START - stored.born) // SECOND == 100_000


def test_rfc9111_4_1_variants_are_kept_apart_and_equivalent_ones_together(store: Store) -> None:
    fill(store, b"zipped", VARY, identity=GZIP)
    fill(store, b"brotli", VARY, identity=BROTLI)
    fill(store, b"plain", VARY)
    assert body_of(store, GZIP) == b"zipped"
    assert body_of(store, GZIP_TOO) == b"zipped"
    assert body_of(store, BROTLI) == b"brotli"
    assert body_of(store) == b"plain"


def test_rfc9111_4_1_a_missing_variant_is_told_from_a_missing_resource(store: Store) -> None:
    assert not store.get(BASE, b"/", GZIP, START).varies
    fill(store, b"zipped", VARY, identity=GZIP)
    found = store.get(BASE, b"/", BROTLI, START)
    assert found.varies
    assert found.stored is None
    assert found.fill_key != found.key
    assert found.fill_key == store.variant_key(found.key, BROTLI, (b"accept-encoding",))


def test_an_answer_with_a_coding_but_without_vary_is_not_given_to_others(store: Store) -> None:
    fill(store, b"zipped", (b"content-encoding", b"gzip"), identity=GZIP)
    assert body_of(store) is None
    assert body_of(store, GZIP) == b"zipped"


def test_memory_variants_of_one_resource_are_capped(store: Store) -> None:
    agents = [identity_of((b"user-agent", b"a%d" % number)) for number in range(3 * MAX_VARIANTS)]
    for agent in agents:
        fill(store, b"x", (b"vary", b"user-agent"), identity=agent)
    found = [body_of(store, agent) is not None for agent in agents]
    assert sum(found) == MAX_VARIANTS
    assert all(found[-MAX_VARIANTS:])


def test_a_resource_that_stops_varying_is_found_by_all(store: Store) -> None:
    fill(store, b"zipped", VARY, identity=GZIP)
    fill(store, b"plain")
    assert body_of(store, BROTLI) == b"plain"
    fill(store, b"by agent", (b"vary", b"user-agent"))
    assert body_of(store, identity_of((b"user-agent", b"x"))) is None


def test_the_list_of_variants_is_not_written_again_for_each_fill(store: Store) -> None:
    fill(store, b"zipped", VARY, identity=GZIP)
    before = store.stored_octets
    fill(store, b"zipped", VARY, identity=GZIP, now=START + SECOND)
    one = store.stored_octets - before
    fill(store, b"zipped", VARY, identity=GZIP, now=START + 2 * SECOND)
    assert store.stored_octets - before == 2 * one
    assert body_of(store, GZIP, now=START + 2 * SECOND) == b"zipped"


def test_a_response_whose_fetch_began_before_an_invalidation_is_not_stored(store: Store) -> None:
    response = fetched(store, b"old", stamp=stamp_of(store))
    store.invalidations.invalidate(SITE, [b"/"], ANYBODY)
    key = store.get(BASE, b"/", ANYBODY, START).key
    assert store.put(key, ANYBODY, response, START) is Put.INVALIDATED
    assert body_of(store) is None


def test_a_response_stored_before_an_invalidation_is_not_found(store: Store) -> None:
    fill(store, b"old")
    store.invalidations.invalidate(SITE, [b"/"], ANYBODY)
    assert body_of(store) is None
    fill(store, b"new")
    assert body_of(store) == b"new"


def test_a_purge_is_seen_by_all_who_attached(store: Store) -> None:
    descriptors = create_cache(SMALLEST, 1024)
    one = Store(descriptors._replace(memory=os.dup(descriptors.memory)), SECRET)
    other = Store(descriptors._replace(memory=os.dup(descriptors.memory)), SECRET)
    fill(one, b"x")
    assert body_of(other) == b"x"
    assert other.invalidations.purge(SITE, b"/")
    assert body_of(one) is None
    one.close()
    other.close()
    for descriptor in descriptors:
        os.close(descriptor)


def test_too_large_for_the_memory_is_said(store: Store) -> None:
    response = fetched(store, bytes(1 << 19))
    assert store.put(store.get(BASE, b"/", ANYBODY, START).key, ANYBODY, response, START) is Put.TOO_LARGE


def test_octets_that_are_no_record_are_not_found(store: Store) -> None:
    key = store.get(BASE, b"/", ANYBODY, START).key
    store._ring.put(key, b"\x07junk", now=0, until=0)
    assert body_of(store) is None


def test_memory_of_another_layout_or_without_stripes_is_refused() -> None:
    for layout, wording in ((LAYOUT_VERSION + 1, "layout"), (LAYOUT_VERSION, "stripes")):
        memory = SharedMemory.create(KIND, layout=layout, size=region_size(SMALLEST))
        with pytest.raises(SharedMemoryError, match=wording):
            Store(CacheDescriptors(os.dup(memory.descriptor), -1, -1), SECRET)
        memory.close()


def test_poisoning_an_unkeyed_field_never_reaches_another_request(store: Store) -> None:
    attacker = identity_of((b"x-forwarded-host", b"evil.example"), (b"referer", b"https://x/<script>"))
    fill(store, b"<a href=//evil.example>", identity=attacker)
    assert body_of(store) is None
    assert body_of(store, identity_of((b"referer", b"https://search.example/"))) is None
