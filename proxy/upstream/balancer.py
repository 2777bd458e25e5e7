"""Choose the address that a request goes to: pure, deterministic, time as an argument.

Theory of operation. A `Target` is one address as this worker knows it; routes with the same upstream share
it, and with it the count of requests in flight and the health. A `Member` is a target's place in one
route's balancer: its weight and whether it is a backup. The candidates are, in this order, the first group
that is not empty: healthy primaries, healthy backups, any primaries, any backups. So the last address is
never taken out, and whatever was tried before (`exclude`) is not tried again.
"""

import math
from collections.abc import Collection, Iterable
from hashlib import blake2b

from proxy.upstream.addresses import TargetKey
from proxy.upstream.health import Health

BALANCE_KINDS = ("least_connections", "round_robin", "client_ip")

_MAPPED_IPV4 = bytes(10) + b"\xff\xff"


class Target:
    """One address of an app, with the requests that this worker has in flight there."""

    __slots__ = ("__weakref__", "address", "health", "in_flight", "key", "pool")

    def __init__(self, key: TargetKey) -> None:
        self.key = key
        self.address = key.address
        self.in_flight = 0
        self.health = Health()
        self.pool: object = None  # the connections to it, kept by whoever makes them

    def __repr__(self) -> str:
        return f"<Target {self.key.path or self.address}:{self.key.port} in_flight={self.in_flight}>"


class Member:
    """A target's place in one balancer.

    `identity` is what the rendezvous hash of client_ip knows it by: it should outlive a change of address.
    """

    __slots__ = ("backup", "current", "identity", "seed", "target", "weight")

    def __init__(self, target: Target, *, weight: int = 1, backup: bool = False, identity: str = "") -> None:
        self.target = target
        self.weight = weight
        self.backup = backup
        self.identity = identity or f"{target.key.host}:{target.key.port}{target.key.path} {target.address}"
        self.current = 0  # smooth weighted round robin
        self.seed = blake2b(digest_size=8)  # set by a client_ip balancer


class Balancer:
    """The addresses of one route and the rule that chooses among them."""

    __slots__ = ("__weakref__", "_backups", "_key", "_kind", "_only", "_primaries", "members")

    def __init__(self, kind: str, members: Iterable[Member] = (), *, key: bytes = b"") -> None:
        """Build a balancer of one of BALANCE_KINDS.

        `key` (up to 64 octets) keys the hash of client_ip; all workers must have the same one, and clients
        must not know it, or they could gather on one address. Raises ValueError for an unknown kind.
        """
        if kind not in BALANCE_KINDS:
            raise ValueError(f"unknown balance kind {kind!r}, expected one of {', '.join(BALANCE_KINDS)}")
        self._kind = kind
        self._key = key
        self.members: tuple[Member, ...] = ()
        self._primaries: list[Member] = []
        self._backups: list[Member] = []
        self._only: Target | None = None
        self.update(members)

    def __len__(self) -> int:
        return len(self.members)

    def update(self, members: Iterable[Member]) -> None:
        """Replace the members; those whose target stays keep their place in the round robin."""
        turns = {member.target: member.current for member in self.members}
        self.members = tuple(members)
        for member in self.members:
            member.current = turns.get(member.target, 0)
            if self._kind == "client_ip":
                member.seed = blake2b(member.identity.encode(), key=self._key, digest_size=8)
        self._primaries = [member for member in self.members if not member.backup]
        self._backups = [member for member in self.members if member.backup]
        self._only = self.members[0].target if len(self.members) == 1 else None

    def pick(self, now: float, client: bytes = b"", exclude: Collection[Target] = ()) -> Target | None:
        """Choose the target for a request, or None when there is none that is not excluded.

        `client` is the client's packed address (4 or 16 octets; only client_ip looks at it).
        """
        if self._only is not None and not exclude:
            return self._only
        candidates = self._candidates(now, exclude)
        if not candidates:
            return None
        if len(candidates) == 1:
            member = candidates[0]
        elif self._kind == "least_connections":
            member = _least_connections(candidates)
        elif self._kind == "round_robin":
            member = _round_robin(candidates)
        else:
            member = _rendezvous(candidates, client)
        member.target.health.admit(now)
        return member.target

    def alternate(self, target: Target, now: float, exclude: Collection[Target] = ()) -> Target | None:
        """Return a healthy address of the same name in the other family, to race `target` with (RFC 8305)."""
        if self._only is not None:
            return None
        ipv6 = ":" in target.address
        for member in self.members:
            other = member.target
            if (
                (other.key.host, other.key.port) == (target.key.host, target.key.port)
                and other.address
                and (":" in other.address) is not ipv6
                and other.health.blocked_until <= now
                and other not in exclude
            ):
                return other
        return None

    def _candidates(self, now: float, exclude: Collection[Target]) -> list[Member]:
        for group in (self._primaries, self._backups):
            healthy = [m for m in group if m.target.health.blocked_until <= now and m.target not in exclude]
            if healthy:
                return healthy
        for group in (self._primaries, self._backups):
            left = [m for m in group if m.target not in exclude]
            if left:
                return left
        return []


def _least_connections(candidates: list[Member]) -> Member:
    """Choose the least loaded for its weight; equals take turns by weight."""
    least = min([member.target.in_flight / member.weight for member in candidates])
    tied = [member for member in candidates if member.target.in_flight / member.weight == least]
    return tied[0] if len(tied) == 1 else _round_robin(tied)


def _round_robin(candidates: list[Member]) -> Member:
    """Choose by turns in proportion to the weights, evenly spread (nginx's smooth round robin)."""
    total = 0
    best = candidates[0]
    for member in candidates:
        member.current += member.weight
        total += member.weight
        if member.current > best.current:
            best = member
    best.current -= total
    return best


def _rendezvous(candidates: list[Member], client: bytes) -> Member:
    """Choose the member with the highest weighted score for this client.

    When a member comes or goes, only the clients that it wins or loses move. An IPv6 client counts by its
    /64, within which its address changes daily.
    """
    if len(client) == 16:
        client = client[12:] if client.startswith(_MAPPED_IPV4) else client[:8]
    best, best_score = candidates[0], -1.0
    for member in candidates:
        digest = member.seed.copy()
        digest.update(client)
        share = (int.from_bytes(digest.digest(), "big") + 0.5) / 2**64
        score = member.weight / -math.log(share) if share < 1.0 else math.inf
        if score > best_score:
            best, best_score = member, score
    return best
