"""What of the limiter's table outlives a restart: the debts that remain, and when they were written down.

Debts are saved as durations together with the wall clock, never as moments of CLOCK_BOOTTIME, which starts
anew with the machine. Restoring subtracts the time that has passed; a wall clock that was set back in
between counts as no time passed, and `LimiterTable.take` believes no debt that a bucket cannot owe. So nobody
can be locked out for longer than a bucket takes to fill.

The form: magic, version and BLAKE2b checksum; then the table's key, its number of slots, the wall clock; then
pairs of slot number and word, with a debt in place of the moment. The key belongs to it, since without it the
slots cannot be found again: the file must be readable by its owner alone.
"""

from array import array
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from proxy.errors import ForegateError
from proxy.traffic.limiter import LONGEST_DEBT_US
from proxy.traffic.limiter_table import KEY_SIZE, TAG_MASK, TIME_MASK, LimiterTable

_MAGIC: Final = b"foregate-limits\x01"
_CHECKSUM_SIZE: Final = 16
_SUMMED_FROM: Final = len(_MAGIC) + _CHECKSUM_SIZE
_PAIRS_FROM: Final = _SUMMED_FROM + KEY_SIZE + 16


class SavedLimitsError(ForegateError):
    """Say why saved limits cannot be used; the limiter then starts with full buckets."""


@dataclass(frozen=True, slots=True)
class SavedLimits:
    """Debts by slot, as they were at `wall_ns` (CLOCK_REALTIME)."""

    key: bytes
    slots: int
    wall_ns: int
    # Slot number and word in turn.
    pairs: "array[int]"

    def to_bytes(self) -> bytes:
        """Write it in the form that `from_bytes` reads."""
        numbers = array("Q", [self.slots, self.wall_ns])
        summed = self.key + numbers.tobytes() + self.pairs.tobytes()
        return _MAGIC + blake2b(summed, digest_size=_CHECKSUM_SIZE).digest() + summed

    @classmethod
    def from_bytes(cls, saved: bytes) -> "SavedLimits":
        """Read what `to_bytes` wrote; raises SavedLimitsError for anything else."""
        if not saved.startswith(_MAGIC):
            raise SavedLimitsError("the saved limits were not written by this version")
        summed = saved[_SUMMED_FROM:]
        if saved[len(_MAGIC) : _SUMMED_FROM] != blake2b(summed, digest_size=_CHECKSUM_SIZE).digest():
            raise SavedLimitsError("the saved limits are damaged")
        if len(saved) < _PAIRS_FROM or (len(saved) - _PAIRS_FROM) % 16:
            raise SavedLimitsError("the saved limits have a wrong length")
        numbers, pairs = array("Q"), array("Q")
        numbers.frombytes(saved[_SUMMED_FROM + KEY_SIZE : _PAIRS_FROM])
        pairs.frombytes(saved[_PAIRS_FROM:])
        return cls(saved[_SUMMED_FROM : _SUMMED_FROM + KEY_SIZE], numbers[0], numbers[1], pairs)


def save(table: LimiterTable, now_ns: int, wall_ns: int) -> SavedLimits:
    """Collect the debts that remain at `now_ns` (CLOCK_BOOTTIME), which is `wall_ns` by the wall clock."""
    now = now_ns // 1000
    words = table.words
    pairs = array("Q")
    for start, end in table.used_slots():
        for slot, word in enumerate(array("Q", words[start:end].tobytes()), start):
            debt = (word - now) & TIME_MASK
            if 0 < debt <= LONGEST_DEBT_US:
                pairs.extend((slot, word & TAG_MASK | debt))
    return SavedLimits(table.key, len(words), wall_ns, pairs)


def restore(saved: SavedLimits, table: LimiterTable, now_ns: int, wall_ns: int) -> int:
    """Put back what is left of the saved debts into a table made with the saved key; returns how many.

    To be called before any worker uses the table. Raises SavedLimitsError when the table is another one.
    """
    if saved.key != table.key or saved.slots != len(table.words):
        raise SavedLimitsError("the saved limits belong to a table of another key or size")
    now = now_ns // 1000
    passed = max(0, wall_ns - saved.wall_ns) // 1000
    restored = 0
    for slot, word in zip(saved.pairs[::2], saved.pairs[1::2], strict=True):
        debt = (word & TIME_MASK) - passed
        if 0 < debt <= LONGEST_DEBT_US and slot < saved.slots:
            table.words[slot] = word & TAG_MASK | (now + debt) & TIME_MASK
            restored += 1
    return restored
