"""Our own default gateway: how to read it, and the alarm for when all clients hide behind it.

A container engine may translate the clients' addresses, so that all come from the bridge's address (moby
#15086). They then share one bucket and one connection limit. Trusting that address would let every client
choose his own, so the only cure lies outside; the alarm names it.
"""

import sys
from dataclasses import dataclass, field
from typing import Final

ALARM_SHARE: Final = 0.95
ALARM_CONNECTIONS: Final = 200
ALARM_INTERVAL_S: Final = 3600.0
CURE: Final = (
    "clients share one address, the container's gateway, and so one rate limit. Let the container see their "
    "addresses: use the host's network, switch the engine's userland proxy off, or give the container's "
    "network IPv6 as well; behind a load balancer let it speak the PROXY protocol. Do not trust the gateway: "
    "then every client could choose his own address"
)
_ROUTE_GATEWAY: Final = 0x2


def default_gateways(route: str, ipv6_route: str) -> frozenset[bytes]:
    """Read the default gateways, as 4 or 16 octets, from the texts of /proc/net/route and
    /proc/net/ipv6_route.

    Lines in another form are left out: they name no gateway that we know.
    """
    found = set()
    for line in route.splitlines()[1:]:
        match line.split():
            case [_, "00000000", gateway, flags, _, _, _, "00000000", *_] if _is_gateway(flags):
                # The kernel prints the four octets as one number of the machine's own byte order.
                found.add(_number(gateway, 8).to_bytes(4, sys.byteorder))
    for line in ipv6_route.splitlines():
        match line.split():
            case [_, "00", _, "00", gateway, _, _, _, flags, _] if _is_gateway(flags):
                found.add(_number(gateway, 32).to_bytes(16, "big"))
    return frozenset(address for address in found if any(address))


def _is_gateway(flags: str) -> bool:
    return bool(_number(flags, 8) & _ROUTE_GATEWAY)


def _number(text: str, longest: int) -> int:
    try:
        return int(text, 16) if len(text) <= longest else 0
    except ValueError:
        return 0


@dataclass(slots=True)
class GatewayAlarm:
    """Decide from running totals whether to say that nearly all connections come from the default gateway."""

    connections: int = 0
    from_gateway: int = 0
    silent_until: float = field(default=float("-inf"))
    raised: bool = False

    def check(self, connections: int, from_gateway: int, now: float) -> str | None:
        """Take the totals since the start, over all workers; returns what to log, at most once an hour.

        A share is judged over at least 200 new connections, and `raised` tells how it came out last. To be called
        only while no proxy is trusted.
        """
        fresh = connections - self.connections
        if fresh < ALARM_CONNECTIONS:
            return None
        share = (from_gateway - self.from_gateway) / fresh
        self.connections, self.from_gateway = connections, from_gateway
        self.raised = share >= ALARM_SHARE
        if not self.raised or now < self.silent_until:
            return None
        self.silent_until = now + ALARM_INTERVAL_S
        return f"{share:.0%} of the last {fresh} connections came from the default gateway: {CURE}"
