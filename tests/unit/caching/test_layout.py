"""The shared memory is exactly as large as configured, and its areas do not overlap."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.layout import (
    CLAIM_WORDS,
    LARGEST,
    MAX_STRIPES,
    OWNERS,
    PURGE_WORDS,
    PURGES,
    SMALLEST,
    STRIPE_WORDS,
    plan,
    region_size,
    stripes_for,
)
from proxy.caching.store import create_cache
from proxy.shared_memory import HEADER_SIZE

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("size", [SMALLEST, MEGABYTE, 10_000_001, 64 * MEGABYTE])
def test_a_cache_takes_the_configured_octets_and_no_more(size: int) -> None:
    descriptors = create_cache(size, 1024)
    taken = os.fstat(descriptors.memory).st_size
    for descriptor in descriptors:
        os.close(descriptor)
    assert size - 8 < taken <= size


@pytest.mark.parametrize("size", [0, SMALLEST - 1, LARGEST + 1])
def test_a_size_that_cannot_work_is_refused_with_its_bounds(size: int) -> None:
    with pytest.raises(ValueError, match=f"between {SMALLEST} and {LARGEST} bytes, not {size}"):
        region_size(size)


@given(st.integers(SMALLEST, LARGEST), st.integers(1, MAX_STRIPES))
def test_areas_follow_one_another_and_end_within_the_region(size: int, stripes: int) -> None:
    content = region_size(size)
    layout = plan(content, stripes)
    assert layout.stripe_heads + MAX_STRIPES * STRIPE_WORDS == layout.invalidations
    assert layout.invalidations + layout.invalidation_count == layout.marks
    assert layout.marks + layout.mark_count == layout.claims
    assert layout.claims + layout.claim_count * CLAIM_WORDS == layout.owners
    assert layout.owners + OWNERS == layout.purges
    assert layout.purges + PURGES * PURGE_WORDS == layout.index
    assert (layout.index + layout.index_count) * 8 == layout.records
    assert layout.records + stripes * layout.stripe_size <= content
    assert content + HEADER_SIZE <= size


@given(st.integers(SMALLEST, LARGEST))
def test_most_of_the_region_holds_records(size: int) -> None:
    layout = plan(region_size(size), 1)
    assert layout.stripe_size > size * 0.6
    assert size < MEGABYTE or layout.stripe_size > size * 0.85


@pytest.mark.parametrize(
    ("size", "largest", "stripes"), [(64, 1, 8), (64, 8, 1), (16, 1, 2), (1, 1, 1), (1024, 1, 8)]
)
def test_a_stripe_holds_several_of_the_largest_objects(size: int, largest: int, stripes: int) -> None:
    assert stripes_for(size * MEGABYTE, largest * MEGABYTE) == stripes
