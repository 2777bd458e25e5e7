"""The names that stand for networks in `[client_ip] trusted`.

Cloudflare publishes its networks at https://www.cloudflare.com/ips-v4 and /ips-v6. `docs/client-address.md`
says how to compare these with the current ones, and how to add a new one without waiting for a release.
"""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Final

from proxy.config.schema import Network
from proxy.traffic.address_ranges import AddressRanges

# As published by Cloudflare on this day, its last change when it was compared in November 2026.
CLOUDFLARE_PUBLISHED: Final = "2023-09-28"
CLOUDFLARE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "173.245.48.0/20",
        "103.21.244.0/22",
        "103.22.200.0/22",
        "103.31.4.0/22",
        "141.101.64.0/18",
        "108.162.192.0/18",
        "190.93.240.0/20",
        "188.114.96.0/20",
        "197.234.240.0/22",
        "198.41.128.0/17",
        "162.158.0.0/15",
        "104.16.0.0/13",
        "104.24.0.0/14",
        "172.64.0.0/13",
        "131.0.72.0/22",
        "2400:cb00::/32",
        "2606:4700::/32",
        "2803:f800::/32",
        "2405:b500::/32",
        "2405:8100::/32",
        "2a06:98c0::/29",
        "2c0f:f248::/32",
    )
)
# Loopback, RFC 1918 and RFC 4193. Not 100.64.0.0/10 (RFC 6598) and not the link-local networks: behind
# these are clients as well as proxies.
PRIVATE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)


def trusted_proxies(entries: Iterable[Network | str], gateways: Iterable[bytes]) -> AddressRanges:
    """Resolve `[client_ip] trusted`; `gateways` are our own default gateways, as 4 or 16 octets.

    "private" never includes a default gateway: in a container this is the address that clients come from
    when the container engine translates their own, and to trust it would let each of them choose another.
    Where a network of the list itself contains the gateway, it is trusted.
    """
    named = set()
    explicit: list[Network] = []
    for entry in entries:
        if isinstance(entry, str):
            named.add(entry)
        else:
            explicit.append(entry)
    if "cloudflare" in named:
        explicit.extend(CLOUDFLARE)
    trusted = AddressRanges.of(explicit)
    if "private" in named:
        trusted = trusted.union(AddressRanges.of(PRIVATE, without=gateways))
    return trusted
