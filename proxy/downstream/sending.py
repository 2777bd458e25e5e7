"""A client that does not take what it asked for: how long it takes nothing, and how little it takes at all.

Pure: times and octet counts are arguments. Octets that wait are ours and the kernel's; those that have left both
count as taken.
"""

from typing import Final

#: ``min_rate`` counts from here on (seconds of waiting for the peer).
RATE_AFTER: Final = 30.0
_NOT_MEASURED: Final = -1


class Sending:
    """The waits for one client; those of one exchange are added up, since many short ones are one long one."""

    __slots__ = ("_exchange", "_mark", "_queued", "_since", "_taken", "_waited", "progress")

    def __init__(self) -> None:
        self.progress = 0.0  # when the client was last seen to take something
        self._exchange = 0  # when the exchange began that the others are about
        self._since = 0.0  # when the wait would have begun, had it been one
        self._waited = 0.0  # until the last resumption
        self._taken = 0
        self._queued = 0  # octets that were queued here when the client stopped taking them
        self._mark = _NOT_MEASURED  # octets not taken at the last look, the kernel's included

    def stopped(self, exchange: int, now: float, queued: int) -> None:
        """Begin a wait, with so many octets queued here; `exchange` tells one exchange from the next."""
        if exchange != self._exchange:
            self._exchange = exchange
            self._waited = 0.0
            self._taken = 0
        self.progress = now
        self._since = now - self._waited
        self._queued = queued
        self._mark = _NOT_MEASURED

    @property
    def was_looked_at(self) -> bool:
        """Say whether `look` was called in this wait: then the kernel's octets have to be asked for again."""
        return self._mark != _NOT_MEASURED

    def resumed(self, now: float, queued: int, unsent: int) -> None:
        """End a wait: `queued` octets wait here, and `unsent` with the kernel's (needed after a look alone)."""
        self._waited = now - self._since
        self._taken += max(0, self._mark - unsent) if self.was_looked_at else self._queued - queued

    def look(self, now: float, queued: int, unsent: int) -> None:
        """See what the client has taken since the last look."""
        taken = self._mark - unsent if self.was_looked_at else self._queued - queued
        self._mark = unsent
        if taken > 0:
            self._taken += taken
            self.progress = now

    def has_stalled(self, now: float, send: float) -> bool:
        """Say whether nothing was taken for `send` seconds."""
        return now - self.progress >= send

    def is_too_slow(self, now: float, rate: float) -> bool:
        """Say whether less than `rate` octets a second were taken, for long enough to be sure."""
        waited = now - self._since
        return waited >= RATE_AFTER and self._taken < rate * waited
