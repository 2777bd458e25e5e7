"""The ids that requests get here: 32 hexadecimal digits, unique among all workers and starts."""

import os
from typing import Final

#: The last two digits are looked up: to format twelve takes as long as ten look-ups.
_DIGITS: Final = tuple(b"%02x" % number for number in range(256))


class RequestIds:
    """Counts behind a random prefix of this worker."""

    __slots__ = ("_block", "_count", "_prefix")

    def __init__(self) -> None:
        self._prefix = os.urandom(10).hex().encode()
        self._count = 0
        self._block = self._begin_block()  # all of an id but its last two digits

    def next(self) -> bytes:
        """Return an id that there was never before."""
        self._count = count = self._count + 1
        last = count & 0xFF
        if not last:
            self._block = self._begin_block()
        return self._block + _DIGITS[last]

    def _begin_block(self) -> bytes:
        return b"%s%010x" % (self._prefix, self._count >> 8)
