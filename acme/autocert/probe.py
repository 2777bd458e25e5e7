"""Ask for a challenge as a CA does, to see who answers."""

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from autocert.challenge import PREFIX

_SECONDS: Final = 8.0
_MOST: Final = 16384


class Answered(Enum):
    """Who answers at an address."""

    BY_US = auto()
    BY_OTHER = auto()
    NOT_AT_ALL = auto()


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking at one address; `is_here` and `elsewhere` tell whether this machine has that address.

    Both are false behind address translation, where nobody here can know.
    """

    address: str
    answered: Answered
    detail: str
    is_here: bool
    elsewhere: bool


async def probe(name: str, address: str, port: int, token: str, expected: str) -> Probe:
    """Ask at an address for the challenge of a token; `expected` is what we would answer."""
    source = _source(address)
    here = source == address
    elsewhere = not here and source != "" and ipaddress.ip_address(source).is_global
    try:
        async with asyncio.timeout(_SECONDS):
            reply = await _ask(name, address, port, PREFIX + token, tls=False)
            if _leads_to_https(reply, name):
                reply = await _ask(name, address, 443, PREFIX + token, tls=True)
    except (OSError, TimeoutError, ssl.SSLError) as exc:
        words = f"{address}: {str(exc) or 'no answer in time'}"
        return Probe(address, Answered.NOT_AT_ALL, words, here, elsewhere)
    # A page that says that there is no such path may well repeat it.
    if expected.encode() in reply and reply.split(b" ", 2)[1:2] == [b"200"]:
        return Probe(address, Answered.BY_US, "", here, elsewhere)
    words = f"{address}: {_first_line(reply)}"
    return Probe(address, Answered.BY_OTHER, words, here, elsewhere)


async def _ask(name: str, address: str, port: int, path: str, *, tls: bool) -> bytes:
    context = None
    if tls:
        # A CA does not mind either which certificate it is redirected to.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        address, port, ssl=context, server_hostname=name if tls else None
    )
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: foregate-diagnose\r\n"
        writer.write(f"{head}Accept: */*\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        reply = b""
        while len(reply) < _MOST and (octets := await reader.read(_MOST)):
            reply += octets
        return reply
    finally:
        writer.close()


def _leads_to_https(reply: bytes, name: str) -> bool:
    head = reply.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    is_redirect = head.partition("\r\n")[0].split(" ")[1:2] in (["301"], ["302"], ["307"], ["308"])
    return is_redirect and f"\r\nlocation: https://{name}/" in head


def _first_line(reply: bytes) -> str:
    return reply.partition(b"\r\n")[0][:120].decode("ascii", "replace") or "closed without a reply"


def _source(address: str) -> str:
    """Return the address from which this machine would ask there; nothing is sent. "" when it has none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as datagram:
            datagram.connect((address, 80))
            return str(datagram.getsockname()[0])
    except OSError:
        return ""
