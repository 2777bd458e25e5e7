"""A route's rate limit, made ready for requests from its configuration."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.config import schema
from proxy.traffic.address import Address, address_from_packed
from proxy.traffic.address_ranges import AddressRanges
from proxy.traffic.limiter import (
    TokenBucket,
    bucket_fingerprint,
    client_identity,
    identity_length,
    scope_key,
)
from proxy.traffic.readings import readings
from proxy.traffic.router import normalise_path


@dataclass(frozen=True, slots=True, eq=False)
class RatePolicy:
    """Which bucket a request takes from, and which requests take from none; compared by identity.

    `dry_run` means: count and log what would be refused, and let it pass.
    """

    kind: TokenBucket
    scope: bytes
    ipv6_prefix: int
    exempt: AddressRanges
    exempt_paths: tuple[bytes, ...]
    dry_run: bool
    policy_value: bytes

    @classmethod
    def of(cls, limit: schema.RateLimit, key: bytes, site: str, own_route: str | None) -> "RatePolicy | None":
        """Make the policy of a route; None where the rate is "off".

        `key` is the limiter's, `own_route` the route's path where it has a rate of its own. Raises
        ValueError for a burst that takes longer than fifty days to refill.
        """
        if limit.rate is None:
            return None
        if own_route is not None:
            scope = scope_key(key, "route", site, own_route)
        else:
            scope = scope_key(key, "proxy") if limit.per == "proxy" else scope_key(key, "site", site)
        return cls(
            kind=TokenBucket.of(limit.rate.count, limit.rate.seconds, limit.burst),
            scope=scope,
            ipv6_prefix=limit.ipv6_prefix,
            exempt=AddressRanges.of(limit.exempt),
            exempt_paths=tuple(path.encode().rstrip(b"/") for path in limit.exempt_paths),
            dry_run=limit.dry_run,
            policy_value=b'"default";q=%d;w=%d' % (limit.rate.count, limit.rate.seconds),
        )

    def bucket(self, packed: bytes) -> int | None:
        """Name the bucket of a client's address; None for an exempt address. Keep it with the connection."""
        if self.exempt and packed in self.exempt:
            return None
        return bucket_fingerprint(self.scope, client_identity(packed, self.ipv6_prefix))

    def client_name(self, address: Address) -> str:
        """Name in logs and lists who shares the bucket: an IPv4 address, or an IPv6 network."""
        length = identity_length(address.packed, self.ipv6_prefix)
        if length == 8 * len(address.packed):
            return address.text
        identity = client_identity(address.packed, self.ipv6_prefix)
        return f"{address_from_packed(identity).text}/{length}"

    def exempts(self, target: bytes) -> bool:
        """Tell whether an origin-form target lies below an exempt path, at a segment boundary.

        It has to in all of its readings: an app that decodes once more, or takes `..%2f`, `..;/` or a backslash for
        a way up, would serve another path than the one that was compared.
        """
        if not self.exempt_paths:
            return False
        if not self._exempts_path(normalise_path(target)):
            return False  # most requests, and at a price that does not depend on how odd they are
        paths = readings(target)
        return paths is not None and all(map(self._exempts_path, paths))

    def _exempts_path(self, path: bytes) -> bool:
        return b".." not in path and any(
            path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")
            for prefix in self.exempt_paths
        )


def slowest(policies: Iterable[RatePolicy | None]) -> RatePolicy | None:
    """Return the policy whose tokens come back slowest, the first of equal ones; None where none limits.

    One that only tries out what it would refuse gives way to any that refuses.
    """
    limiting = (policy for policy in policies if policy is not None)
    return max(limiting, key=lambda policy: (not policy.dry_run, policy.kind.period_us), default=None)
