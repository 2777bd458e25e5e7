"""How many connections there may be: of one client, in this worker, and in all; and who gives way.

Theory of operation. Every connection is counted once, when it is known whose it is, and given back once, under
the very fingerprint that it was counted with: what is trusted and how addresses are grouped may change by a
reload meanwhile.

At a limit the connection that has waited longest for its next request is closed for a newcomer. Looking
through all connections for it at every arrival would make a flood of arrivals dearer the more connections
there are. So one look finds many candidates, and there are only so many looks a second; a candidate that has been
used since is passed over.
"""

from collections.abc import Iterable
from heapq import nsmallest
from operator import itemgetter
from typing import Final, Generic, Protocol, TypeVar

from proxy.traffic.connection_limits import ADMITTED, NO_LIMIT, RESERVED, Admission, ConnectionCounter
from proxy.traffic.limiter import bucket_fingerprint, client_identity

#: Places beyond the limits for plain http alone: ACME challenges are answered there, all else is refused.
RESERVE: Final = 16
_CANDIDATES: Final = 256
#: Seconds between two looks through all connections.
_LOOK_INTERVAL: Final = 0.05


class ConnectionBounds:
    """What bounds the connections of a worker; `counter` sees those of all workers."""

    __slots__ = ("counter", "exempt", "here", "in_worker", "scope")

    def __init__(
        self,
        counter: ConnectionCounter,
        scope: bytes,
        *,
        in_worker: int = NO_LIMIT,
        exempt: frozenset[bytes] = frozenset(),
    ) -> None:
        """`scope` keys the clients' fingerprints; `exempt` are packed addresses that many clients share."""
        self.counter = counter
        self.scope = scope
        self.in_worker = in_worker
        self.exempt = exempt
        self.here = 0

    def client(self, packed: bytes, ipv6_prefix: int) -> int | None:
        """Return the fingerprint that a client's connections are counted under; None for who is not counted."""
        if not packed or packed in self.exempt:
            return None
        return bucket_fingerprint(self.scope, client_identity(packed, ipv6_prefix))

    def open(self, client: int | None, per_client: int, in_all: int, plain: bool) -> Admission:
        """Count a connection, unless it is one too many; whatever is not FULL has to be closed again.

        `in_all` bounds all workers together, 0 for no bound but this worker's own.
        """
        admission = self.counter.opened(client, per_client, in_all or NO_LIMIT, plain)
        if admission is ADMITTED and self.here >= self.in_worker:
            if plain and self.here < self.in_worker + RESERVE:
                admission = RESERVED
            else:
                self.counter.closed(client)
                return Admission.FULL
        if admission is ADMITTED or admission is RESERVED:
            self.here += 1
        return admission

    def open_instead(self, client: int | None, per_client: int) -> Admission:
        """Count a connection in the place of another one, which is about to close."""
        admission = self.counter.opened(client, per_client, NO_LIMIT, False)
        if admission is ADMITTED:
            self.here += 1
        return admission

    def close(self, client: int | None) -> None:
        """Give a counted connection back, with the fingerprint that it was counted with."""
        self.here -= 1
        self.counter.closed(client)


class Waiting(Protocol):
    """A connection that may be waiting for its next request."""

    @property
    def is_idle(self) -> bool:
        """Say whether it waits for a request that has not begun, and is not closing."""
        ...

    @property
    def idle_since(self) -> float:
        """Tell since when (loop clock); changes with every request."""
        ...


_Connection = TypeVar("_Connection", bound=Waiting)


class LongestIdle(Generic[_Connection]):
    """Finds the connections that have waited longest."""

    __slots__ = ("_candidates", "_look_again")

    def __init__(self) -> None:
        self._candidates: list[tuple[float, _Connection]] = []
        self._look_again = float("-inf")

    def take(self, connections: Iterable[_Connection], now: float) -> _Connection | None:
        """Return the connection that has waited longest; None when there is none, or none was found just now."""
        candidate = self._next()
        if candidate is None and now >= self._look_again:
            self._look_again = now + _LOOK_INTERVAL
            idle = ((connection.idle_since, connection) for connection in connections if connection.is_idle)
            self._candidates = nsmallest(_CANDIDATES, idle, key=itemgetter(0))
            self._candidates.reverse()
            candidate = self._next()
        return candidate

    def _next(self) -> _Connection | None:
        while self._candidates:
            since, connection = self._candidates.pop()
            if connection.is_idle and connection.idle_since == since:
                return connection
        return None
