"""What a handshake asks of whoever keeps the certificates, and how many handshakes may wait at once."""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from proxy.downstream.tls_records import ALERT_INTERNAL_ERROR, ALERT_UNRECOGNIZED_NAME

#: Handshakes of one client address (IPv6: of one /64) that may wait for certificates at once. A page opens about six.
HELD_PER_ADDRESS: Final = 64
#: Handshakes that may wait in one worker; each keeps its hello (up to 16 KiB) and a descriptor.
HELD_IN_ALL: Final = 4096


@dataclass(frozen=True, slots=True)
class Refuse:
    """No certificate for this name: end the handshake with a fatal alert."""

    alert: int = ALERT_UNRECOGNIZED_NAME


#: The certificate was wanted and could not be had in time.
UNAVAILABLE: Final = Refuse(ALERT_INTERNAL_ERROR)


@dataclass(frozen=True, slots=True)
class Hold:
    """The certificate is on its way: wait for ``outcome``, at most ``seconds``.

    All who wait share the future; whoever stops waiting removes its callback and never cancels it. ``placeholder``,
    where given, tells for a client's address with what to greet it instead of letting it wait.
    """

    outcome: "asyncio.Future[ssl.SSLContext | Refuse]"
    seconds: float
    placeholder: Callable[[str], ssl.SSLContext | None] | None = None


class CertificateSource(Protocol):
    """Decides with which certificate a client is greeted."""

    def lookup(self, server_name: str | None) -> ssl.SSLContext | Hold | Refuse:
        """Answer at once; ``server_name`` is lower-case, None without SNI."""
        ...


@dataclass(slots=True)
class HeldConnections:
    """Counts the waiting handshakes, by client address and in all."""

    per_address: int = HELD_PER_ADDRESS
    in_all: int = HELD_IN_ALL
    _by_address: dict[str, int] = field(default_factory=dict)
    _total: int = 0

    @property
    def total(self) -> int:
        """How many handshakes wait now."""
        return self._total

    def enter(self, peer: str) -> str | None:
        """Count one more for the address; return the key to leave with, or None when a cap is reached."""
        key = _address_key(peer)
        held = self._by_address.get(key, 0)
        if held >= self.per_address or self._total >= self.in_all:
            return None
        self._by_address[key] = held + 1
        self._total += 1
        return key

    def leave(self, key: str) -> None:
        """Count one less, for the key that ``enter`` gave."""
        self._total -= 1
        held = self._by_address[key] - 1
        if held:
            self._by_address[key] = held
        else:
            del self._by_address[key]


def _address_key(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer  # a unix socket's peer has no address
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
