"""What supervisor and workers tell each other about upstream addresses: plain values, fit for pickling."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

LOCALHOST = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """What an active probe asks, and how often (interval in seconds)."""

    path: str
    authority: str
    interval: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetKey:
    """Everything that makes two connections to the app interchangeable.

    `host` is the configured name and `address` an IP address that it resolved to ("" with scheme unix,
    where `path` names the socket). `ca_file` and `server_name` belong to it because they decide whom TLS
    verifies, and `check` because two routes may ask the same address different questions about its health.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    address: str = ""
    ca_file: str = ""
    server_name: str = ""
    check: HealthCheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAddresses:
    """The addresses that a name has now, best first, and what went wrong when it was last asked for.

    `fault` is "" when the last lookup succeeded; the addresses are then the last good ones.
    """

    name: str
    addresses: tuple[str, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The verdict of the active probes on one target."""

    key: TargetKey
    healthy: bool
    reason: str = ""


UpstreamMessage = UpstreamAddresses | HealthReport


def literal_addresses(host: str) -> tuple[str, ...] | None:
    """Return the addresses of an IP literal or of localhost (RFC 6761 section 6.3).

    Returns None for a name that must be looked up.
    """
    if host.lower().rstrip(".") == "localhost":
        return LOCALHOST
    try:
        return (str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))),)
    except ValueError:
        return None


def interleave(addresses: Iterable[str]) -> tuple[str, ...]:
    """Order addresses by alternating families, the first one's family first (RFC 8305 section 4).

    Within a family the order is numeric, so that a name server that rotates its answers changes nothing.
    """
    unique = list(dict.fromkeys(ipaddress.ip_address(address) for address in addresses))
    if not unique:
        return ()
    first = sorted((a for a in unique if a.version == unique[0].version), key=int)
    other = sorted((a for a in unique if a.version != unique[0].version), key=int)
    shared = min(len(first), len(other))
    paired = [address for pair in zip(first, other, strict=False) for address in pair]
    return tuple(str(address) for address in (*paired, *first[shared:], *other[shared:]))
