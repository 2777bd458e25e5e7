"""Where everything lies in the cache's shared memory, as a function of its size alone.

All positions are in 64-bit words of the region's content. The areas, in order: control words, heads and tails of
the ring's stripes, invalidation words, marks, claims, owners, purges, index, records.
"""

from dataclasses import dataclass
from typing import Final

from proxy.shared_memory import HEADER_SIZE

KIND: Final = "cache"
LAYOUT_VERSION: Final = 1

#: Less cannot hold a handful of pages.
SMALLEST: Final = 256 * 1024
#: Larger regions would need wider positions in the index.
LARGEST: Final = 1 << 36

CONTROL_WORDS: Final = 64
GENERATION: Final = 0
PURGE_COUNT: Final = 1
STRIPES: Final = 2

#: Records start at multiples of this many octets.
GRAIN: Final = 64
MAX_STRIPES: Final = 8
STRIPE_WORDS: Final = 8
CLAIM_WORDS: Final = 4
OWNERS: Final = 256
PURGES: Final = 64
PURGE_WORDS: Final = 32
#: Words of the index that are looked at for one key.
BUCKET: Final = 8

_SMALLEST_STRIPE: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions and counts, in words; `records` and `stripe_size` are in octets."""

    stripes: int
    stripe_heads: int
    invalidations: int
    invalidation_count: int
    marks: int
    mark_count: int
    claims: int
    claim_count: int
    owners: int
    purges: int
    index: int
    index_count: int
    records: int
    stripe_size: int


def region_size(size: int) -> int:
    """Return the content's size of a region that takes at most `size` octets altogether.

    Raises ValueError outside SMALLEST to LARGEST.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"the cache's size must be between {SMALLEST} and {LARGEST} bytes, not {size}")
    return (size - HEADER_SIZE) // 8 * 8


def stripes_for(size: int, largest_object: int) -> int:
    """Choose how many writers at once the ring admits; each stripe must hold a few of the largest objects."""
    return max(1, min(MAX_STRIPES, size // max(_SMALLEST_STRIPE, 8 * largest_object)))


def plan(content_size: int, stripes: int) -> Layout:
    """Lay out a region of `content_size` octets (without its header)."""
    counts = {
        "invalidations": _power_of_two(content_size // 1024, 256, 1 << 16),
        "marks": _power_of_two(content_size // 4096, 256, 1 << 14),
        "claims": _power_of_two(content_size // 32768, 32, 1 << 11),
        "index": _power_of_two(content_size // 512, 256, 1 << 25),
    }
    stripe_heads = CONTROL_WORDS
    invalidations = stripe_heads + MAX_STRIPES * STRIPE_WORDS
    marks = invalidations + counts["invalidations"]
    claims = marks + counts["marks"]
    owners = claims + counts["claims"] * CLAIM_WORDS
    purges = owners + OWNERS
    index = purges + PURGES * PURGE_WORDS
    records = (index + counts["index"]) * 8
    return Layout(
        stripes=stripes,
        stripe_heads=stripe_heads,
        invalidations=invalidations,
        invalidation_count=counts["invalidations"],
        marks=marks,
        mark_count=counts["marks"],
        claims=claims,
        claim_count=counts["claims"],
        owners=owners,
        purges=purges,
        index=index,
        index_count=counts["index"],
        records=records,
        stripe_size=(content_size - records) // stripes // GRAIN * GRAIN,
    )


def _power_of_two(wanted: int, least: int, most: int) -> int:
    """Round down to a power of two between two others."""
    return max(least, min(most, 1 << max(0, wanted.bit_length() - 1)))
