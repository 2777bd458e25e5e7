"""Who is at the other end of connections: what a worker works out once for an address, not for each connection.

A browser opens six connections, a load balancer thousands. What is known of an address depends on the
snapshot, so a caller is of one snapshot and made anew after a reload.
"""

from typing import TYPE_CHECKING, Final

from proxy.semantics.forwarding import client_lines
from proxy.traffic.address import Address
from proxy.traffic.rate_policy import RatePolicy

if TYPE_CHECKING:
    from proxy.downstream.admission import ConnectionBounds
    from proxy.snapshot import Snapshot

#: Callers that are remembered (about 0.5 KB each); connections keep theirs alive beyond that.
_REMEMBERED: Final = 4096


class Caller:
    """A peer's address under one snapshot; `counted_as` is the fingerprint that its connections count under.

    Where it speaks for itself alone, `lines` tell the app of it, and it takes from `bucket` under `bucket_rate`, the
    last rate that was asked for; None for an exempt address. `client` is its text and its packed form.
    """

    __slots__ = (
        "bucket",
        "bucket_rate",
        "client",
        "counted_as",
        "is_trusted",
        "lines",
        "peer",
        "snapshot",
    )

    def __init__(self, peer: Address, snapshot: "Snapshot", bounds: "ConnectionBounds | None") -> None:
        self.peer = peer
        self.snapshot = snapshot
        self.is_trusted = peer.packed in snapshot.trusted
        self.client = (peer.text.encode(), peer.packed)
        self.counted_as: int | None = None
        if bounds is not None and not self.is_trusted:
            self.counted_as = bounds.client(peer.packed, snapshot.config.rate_limit.ipv6_prefix)
        self.bucket: int | None = None
        self.bucket_rate: RatePolicy | None = None
        self.lines = client_lines(self.client[0], self.client[0], b"")

    def find_bucket(self, rate: RatePolicy) -> int | None:
        """Return the bucket that the address takes from under ``rate``, and keep it in `bucket`."""
        self.bucket = rate.bucket(self.peer.packed)
        self.bucket_rate = rate
        return self.bucket


class Callers:
    """The callers of one worker, by address."""

    __slots__ = ("_known", "bounds")

    def __init__(self, bounds: "ConnectionBounds | None") -> None:
        self.bounds = bounds
        self._known: dict[bytes, Caller] = {}

    def caller(self, peer: Address, snapshot: "Snapshot") -> Caller:
        """Return what is known of an address, or find it out."""
        caller = self._known.get(peer.packed)
        if caller is None or caller.snapshot is not snapshot:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            caller = self._known[peer.packed] = Caller(peer, snapshot, self.bounds)
        return caller

    def forget(self) -> None:
        """Drop what belongs to a snapshot that is gone."""
        self._known.clear()
