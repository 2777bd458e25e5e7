"""Sets of addresses that answer in the same time whether they hold one range or 100,000."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from proxy.config.schema import Network

# First and last address of a range, both within it, as octets in network order: these compare like numbers.
Range = tuple[bytes, bytes]
_MAPPED_BITS: Final = 96
_MAPPED: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class AddressRanges:
    """Ranges that neither overlap nor touch, in ascending order, by family."""

    firsts4: tuple[bytes, ...] = ()
    lasts4: tuple[bytes, ...] = ()
    firsts6: tuple[bytes, ...] = ()
    lasts6: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[Network], *, without: Iterable[bytes] = ()) -> Self:
        """Merge networks, less some single addresses; an IPv4-mapped network counts as the IPv4 network."""
        ranges4: list[Range] = []
        ranges6: list[Range] = []
        for network in networks:
            first, last = _ends(network)
            (ranges4 if len(first) == 4 else ranges6).append((first, last))
        holes = set(without)
        merged4 = _cut(_merge(ranges4), {hole for hole in holes if len(hole) == 4})
        merged6 = _cut(_merge(ranges6), {hole for hole in holes if len(hole) == 16})
        return cls(
            tuple(first for first, _ in merged4),
            tuple(last for _, last in merged4),
            tuple(first for first, _ in merged6),
            tuple(last for _, last in merged6),
        )

    def __len__(self) -> int:
        """Count the ranges; an empty set is falsy."""
        return len(self.firsts4) + len(self.firsts6)

    def __contains__(self, packed: bytes) -> bool:
        """Tell whether an address of 4 or 16 octets is in one of the ranges."""
        if len(packed) == 4:
            index = bisect_right(self.firsts4, packed)
            return index > 0 and packed <= self.lasts4[index - 1]
        index = bisect_right(self.firsts6, packed)
        return index > 0 and packed <= self.lasts6[index - 1]

    def union(self, other: "AddressRanges") -> "AddressRanges":
        """Hold what either holds."""
        merged4 = _merge([*_ranges(self.firsts4, self.lasts4), *_ranges(other.firsts4, other.lasts4)])
        merged6 = _merge([*_ranges(self.firsts6, self.lasts6), *_ranges(other.firsts6, other.lasts6)])
        return AddressRanges(*map(tuple, (*_columns(merged4), *_columns(merged6))))


def _ends(network: Network) -> Range:
    """Name the first and the last address of a network; `broadcast_address` is three times as slow."""
    bits = network.max_prefixlen
    prefix = network.prefixlen
    first = int(network.network_address)
    if bits == 128 and prefix >= _MAPPED_BITS and first >> 32 == _MAPPED:
        bits, prefix, first = 32, prefix - _MAPPED_BITS, first & 0xFFFFFFFF
    last = first | (1 << (bits - prefix)) - 1
    return first.to_bytes(bits // 8, "big"), last.to_bytes(bits // 8, "big")


def _ranges(firsts: tuple[bytes, ...], lasts: tuple[bytes, ...]) -> list[Range]:
    return list(zip(firsts, lasts, strict=True))


def _columns(ranges: list[Range]) -> tuple[list[bytes], list[bytes]]:
    return [first for first, _ in ranges], [last for _, last in ranges]


def _merge(ranges: list[Range]) -> list[Range]:
    """Sort ranges and join those that overlap or touch."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and (first <= merged[-1][1] or first == _next(merged[-1][1])):
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _cut(ranges: list[Range], holes: set[bytes]) -> list[Range]:
    """Take single addresses out of merged ranges."""
    for hole in sorted(holes):
        ranges = [
            part
            for first, last in ranges
            for part in (_around(first, last, hole) if first <= hole <= last else [(first, last)])
        ]
    return ranges


def _around(first: bytes, last: bytes, hole: bytes) -> list[Range]:
    below = [(first, _previous(hole))] if first < hole else []
    above = [(_next(hole), last)] if hole < last else []
    return below + above


def _next(packed: bytes) -> bytes:
    """Name the following address; past the highest one there is none, and the longer result equals no
    address."""
    return (int.from_bytes(packed, "big") + 1).to_bytes(len(packed) + 1, "big").removeprefix(b"\0")


def _previous(packed: bytes) -> bytes:
    return (int.from_bytes(packed, "big") - 1).to_bytes(len(packed), "big")
