"""What the shared memory holds: stored responses and lists of variants, as octets that need no trust.

Records are read back only after their checksum, keyed with the cache's secret, has been compared; still,
decoding checks every length, so that a programming error shows as a miss.
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Nanoseconds in a second.
SECOND: Final = 1_000_000_000

_RESPONSE: Final = 1
_VARIANTS: Final = 2
_RESPONSE_HEAD: Final = struct.Struct("<BxHHHHHIQQqQQQ")
_VARIANTS_HEAD: Final = struct.Struct("<BxHHxxQ")
_TAG_SIZE: Final = 8
_TOKEN: Final = struct.Struct("<IQ")


# Tuples are made in a third of the time that frozen dataclasses of so many fields take (1 µs less for a hit).


class Stamp(NamedTuple):
    """What was valid when a fetch began: words that invalidations change, with the values they had.

    `site` and `path` (decoded, without dot segments) are what a purge names; `purges` counts those before.
    """

    site: bytes
    path: bytes
    purges: int
    tokens: tuple[tuple[int, int], ...]

    @property
    def fingerprint(self) -> int:
        """Return 64 bits that differ for another state of the same words."""
        mixed = self.purges
        for _, value in self.tokens:
            mixed ^= value
        return mixed


class Stored(NamedTuple):
    """A stored response. Times are nanoseconds of the clock that all workers share.

    `block` are its field lines as the client gets them, without framing, Age, Cache-Status and X-Cache-Status;
    `born` is when the origin made it (now minus its age); the others are ends of periods.
    """

    status: int
    reason: bytes
    block: bytes
    body: bytes
    born: int
    fresh_until: int
    revalidate_until: int
    error_until: int
    stamp: Stamp

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return its fields as (name in lower case, value) pairs."""
        return pairs_of(self.block)


@dataclass(frozen=True, slots=True)
class Variants:
    """What is known of a key whose responses vary: by which fields, and which variants are kept, oldest first."""

    names: tuple[bytes, ...]
    tags: tuple[bytes, ...]
    until: int

    def holds(self, variant: bytes) -> bool:
        """Say whether this variant (its digest) is among those that are kept."""
        return variant[:_TAG_SIZE] in self.tags

    def with_variant(self, variant: bytes, *, most: int, until: int) -> "Variants":
        """Add a variant; the oldest gives way when there are `most` already."""
        tag = variant[:_TAG_SIZE]
        others = tuple(kept for kept in self.tags if kept != tag)
        return Variants(self.names, (*others[-(most - 1) :], tag), max(self.until, until))


def pairs_of(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Take field lines apart into (name in lower case, value) pairs."""
    lines = (line.partition(b":") for line in block.split(b"\r\n") if line)
    return tuple((name.lower(), value.strip(b" \t")) for name, _, value in lines)


class RecordError(ValueError):
    """Say that octets are not a record."""


def encode(record: Stored | Variants) -> bytes:
    """Turn a record into octets."""
    if isinstance(record, Variants):
        names = b",".join(record.names)
        head = _VARIANTS_HEAD.pack(_VARIANTS, len(names), len(record.tags), record.until)
        return b"".join((head, names, *record.tags))
    stamp = record.stamp
    head = _RESPONSE_HEAD.pack(
        *(_RESPONSE, record.status, len(record.reason), len(stamp.site), len(stamp.path), len(stamp.tokens)),
        *(len(record.block), len(record.body), stamp.purges),
        *(record.born, record.fresh_until, record.revalidate_until, record.error_until),
    )
    tokens = b"".join([_TOKEN.pack(word, value) for word, value in stamp.tokens])
    return b"".join((head, tokens, stamp.site, stamp.path, record.reason, record.block, record.body))


def decode(octets: bytes) -> Stored | Variants:
    """Turn octets into the record they were; raises RecordError."""
    try:
        return _decode_variants(octets) if octets[:1] == bytes((_VARIANTS,)) else _decode_response(octets)
    except struct.error as exc:
        raise RecordError("the record is too short") from exc


def _decode_variants(octets: bytes) -> Variants:
    _, names_length, count, until = _VARIANTS_HEAD.unpack_from(octets)
    tags_at = _VARIANTS_HEAD.size + names_length
    if len(octets) != tags_at + count * _TAG_SIZE:
        raise RecordError("the record's lengths do not add up")
    names = tuple(octets[_VARIANTS_HEAD.size : tags_at].split(b","))
    return Variants(
        names, tuple(octets[i : i + _TAG_SIZE] for i in range(tags_at, len(octets), _TAG_SIZE)), until
    )


def _decode_response(octets: bytes) -> Stored:
    kind, status, reason_length, site_length, path_length, count, *rest = _RESPONSE_HEAD.unpack_from(octets)
    block_length, body_length, purges, born, fresh_until, revalidate_until, error_until = rest
    site_at = _RESPONSE_HEAD.size + count * _TOKEN.size
    path_at = site_at + site_length
    reason_at = path_at + path_length
    block_at = reason_at + reason_length
    body_at = block_at + block_length
    if kind != _RESPONSE or len(octets) != body_at + body_length:
        raise RecordError("the record's lengths do not add up")
    tokens = tuple(_TOKEN.iter_unpack(octets[_RESPONSE_HEAD.size : site_at]))
    return Stored(
        status,
        octets[reason_at:block_at],
        octets[block_at:body_at],
        octets[body_at:],
        born,
        fresh_until,
        revalidate_until,
        error_until,
        Stamp(octets[site_at:path_at], octets[path_at:reason_at], purges, tokens),
    )
