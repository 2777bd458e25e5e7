"""Concurrent misses of one worker become one fetch: who waits for it, who reads along, and why a waiter woke.

Theory of operation. A flight is one fetch for one key. It belongs to no client: the request that started it is
its first waiter, and when that client leaves, the flight goes on for the others. Whoever runs the fetch
reports what happens (`head`, `content`, `finish`), and gets back the waiters to wake, each with the reason. Nothing
here calls anybody; waiters are whatever the caller uses to find them again.

    join -> LEAD                      start the fetch (or wait for another worker's: see claims)
         -> WAIT                      until woken, at most `wait` (the caller's timer, then `leave`)
         -> READ_ALONG                the head is known and storable: send it and `content` from the beginning on
         -> OTHER_VARIANT             the head is known, and not for this request: join again under the key of
                                      its own variant (`Store.variant_key` with `Flight.names`)
    head, storable, of known length   waiters read along
    head, storable, unknown length    waiters wait for the end: it may prove too large
    head, not storable                waiters go by themselves, all at once
    head, of another variant          waiters whose selecting fields differ join under their own variant's key
    finish                            those still waiting look into the store, go by themselves, or fail alike

An invalidation that comes after a flight began closes it to newcomers: they start another one, and the old one
ends for those who asked before.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Generic, TypeVar

from proxy.caching.record import Stamp

W = TypeVar("W")


class Join(Enum):
    """What a request that misses is to do."""

    LEAD = "lead"
    WAIT = "wait"
    READ_ALONG = "read-along"
    OTHER_VARIANT = "other-variant"


class Wake(Enum):
    """Why a waiter goes on."""

    READ_ALONG = "read-along"
    STORED = "stored"
    UNCACHEABLE = "uncacheable"
    OTHER_VARIANT = "other-variant"
    FAILED = "failed"


class Phase(Enum):
    """How far a flight is."""

    ASKING = "asking"
    READING = "reading"
    BUFFERING = "buffering"
    OVER = "over"


class Flight(Generic[W]):
    """One fetch and who waits for it. `content` is what has come so far, `octets` its size."""

    __slots__ = ("content", "key", "names", "octets", "phase", "readers", "same_variant", "stamp", "waiters")

    def __init__(self, key: bytes, stamp: Stamp) -> None:
        self.key = key
        self.stamp = stamp
        self.phase = Phase.ASKING
        self.content: list[bytes] = []
        self.octets = 0
        self.names: tuple[bytes, ...] = ()
        self.same_variant: Callable[[W], bool] | None = None
        # Dictionaries without values: sets that keep the order in which waiters came.
        self.waiters: dict[W, None] = {}
        self.readers: dict[W, None] = {}

    @property
    def is_wanted(self) -> bool:
        """Say whether anybody is left for whom the fetch goes on."""
        return bool(self.waiters or self.readers)


class FillBudget:
    """Bound the octets that a worker holds for responses which it is about to store."""

    __slots__ = ("_limit", "taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def take(self, octets: int) -> bool:
        """Ask for room; False: send the response on at the client's speed, without storing it."""
        if self.taken + octets > self._limit:
            return False
        self.taken += octets
        return True

    def give_back(self, octets: int) -> None:
        """Return room that was taken."""
        self.taken -= octets


class Flights(Generic[W]):
    """All fetches of one worker that others may join."""

    __slots__ = ("_by_key", "_is_valid")

    def __init__(self, is_valid: Callable[[Stamp], bool]) -> None:
        """`is_valid` says whether nothing was invalidated since a stamp (`Invalidations.is_valid`)."""
        self._by_key: dict[bytes, Flight[W]] = {}
        self._is_valid = is_valid

    def __len__(self) -> int:
        """Count the flights that can be joined."""
        return len(self._by_key)

    def join(self, key: bytes, waiter: W, begin: Callable[[], Stamp]) -> tuple[Join, Flight[W]]:
        """Join the key's flight, or start one under a stamp that `begin` makes.

        `key` is `Found.fill_key`. With LEAD the waiter is in it like any other, and the caller owes `finish`.
        """
        flight = self._by_key.get(key)
        if flight is None or not self._is_valid(flight.stamp):
            flight = self._by_key[key] = Flight(key, begin())
            flight.waiters[waiter] = None
            return Join.LEAD, flight
        if flight.same_variant is not None and not flight.same_variant(waiter):
            return Join.OTHER_VARIANT, flight
        if flight.phase is Phase.READING:
            flight.readers[waiter] = None
            return Join.READ_ALONG, flight
        flight.waiters[waiter] = None
        return Join.WAIT, flight

    def restamp(self, flight: Flight[W], begin: Callable[[], Stamp]) -> None:
        """Begin a flight anew if something was invalidated while it only waited for another worker's fetch.

        Call it before each claim: a fetch under an old stamp would be of use to nobody.
        """
        if flight.phase is Phase.ASKING and not self._is_valid(flight.stamp):
            flight.stamp = begin()

    def head(
        self,
        flight: Flight[W],
        *,
        storable: bool,
        length_known: bool = True,
        names: tuple[bytes, ...] = (),
        same_variant: Callable[[W], bool] = lambda _: True,
    ) -> list[tuple[W, Wake]]:
        """Report a response head; return the waiters that go on.

        `names` are the verdict's selecting fields, and `same_variant` says whether a waiter's select this response.
        """
        if not storable:
            return self._end(flight, Wake.UNCACHEABLE)
        flight.names, flight.same_variant = names, same_variant
        others = [waiter for waiter in flight.waiters if not same_variant(waiter)]
        for waiter in others:
            del flight.waiters[waiter]
        woken = [(waiter, Wake.OTHER_VARIANT) for waiter in others]
        if not length_known:
            flight.phase = Phase.BUFFERING
            return woken
        flight.phase = Phase.READING
        readers = list(flight.waiters)
        flight.readers.update(flight.waiters)
        flight.waiters.clear()
        return woken + [(reader, Wake.READ_ALONG) for reader in readers]

    def content(self, flight: Flight[W], octets: bytes) -> Iterable[W]:
        """Report content, which is kept for those who join; return the readers to send it to."""
        flight.content.append(octets)
        flight.octets += len(octets)
        return flight.readers

    def finish(self, flight: Flight[W], wake: Wake) -> list[tuple[W, Wake]]:
        """Report the end: STORED, UNCACHEABLE (too large, voided, not stored) or FAILED; return who still waited.

        Readers have had all there was; whether it was whole is the caller's to tell them.
        """
        return self._end(flight, wake)

    def leave(self, flight: Flight[W], waiter: W) -> bool:
        """Take out a waiter or reader whose client left or whose wait is over; say whether anybody is left."""
        flight.waiters.pop(waiter, None)
        flight.readers.pop(waiter, None)
        return flight.is_wanted

    def abandon(self, flight: Flight[W]) -> None:
        """Close a flight that nobody is left for, before its fetch is cancelled."""
        self._end(flight, Wake.FAILED)

    def _end(self, flight: Flight[W], wake: Wake) -> list[tuple[W, Wake]]:
        flight.phase = Phase.OVER
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
        woken = [(waiter, wake) for waiter in flight.waiters]
        flight.waiters.clear()
        return woken
