"""Throw damaged TLS at the hello reader, the record stream and a real server.

`python -m tests.campaigns.tls_fuzz [ROUNDS] [SEED]`: in each round a random message is damaged in random places and
given to each of the three. Passes when nothing raises, the hello reader never takes another name than OpenSSL's own
parser, the shared buffers are empty after every flight, and an honest client of the same server, asked now and then,
gets every octet. The suite runs a short form of the first two as property tests.
"""

import contextlib
import random
import socket
import ssl
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from proxy.downstream.client_hello import ClientHello, ClientHelloReader
from proxy.downstream.tls_contexts import KeyPair, build_context
from proxy.downstream.tls_stream import TlsBuffers, TlsStream, TlsStreamError
from tests.fakes.certificates import Authority
from tests.fakes.tls_hello import alpn_extension, message, openssl_hello, records, server_name_extension
from tests.fakes.tls_peer import MemoryClient
from tests.fakes.tls_server import NAME, TlsServer, get, pattern

WITNESS_EVERY: Final = 200
VERSIONS: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Damage:
    """Makes messages and breaks them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._hellos = [
            openssl_hello(),
            openssl_hello(None),
            openssl_hello(alpn=["h2", "http/1.1"]),
            openssl_hello(version=ssl.TLSVersion.TLSv1_2),
        ]

    def hello(self) -> bytes:
        """Return some ClientHello, whole or cut into records, damaged or not."""
        choose = self.random
        if choose.random() < 0.5:
            return self.damaged(choose.choice(self._hellos))
        extensions = [
            (choose.randrange(70), choose.randbytes(choose.randrange(40))) for _ in range(choose.randrange(6))
        ]
        extensions.append(
            server_name_extension(choose.choice([b"a.test", b"A.Test.", b"a..b", b"\xff", b""]))
        )
        extensions.append(alpn_extension(b"h2", choose.randbytes(choose.randrange(1, 5))))
        choose.shuffle(extensions)
        return self.damaged(records(message(extensions), choose.choice([1, 3, 50, 16384])))

    def damaged(self, octets: bytes) -> bytes:
        """Change, cut, double or add octets in a few places."""
        choose = self.random
        changed = bytearray(octets)
        for _ in range(choose.choice([0, 1, 1, 2, 5])):
            where = choose.randrange(len(changed) + 1)
            match choose.randrange(5):
                case 0:
                    changed[where : where + 1] = choose.randbytes(1)
                case 1:
                    del changed[where : where + choose.randrange(20)]
                case 2:
                    changed[where:where] = choose.randbytes(choose.randrange(20))
                case 3:
                    changed[where:where] = changed[where : where + 50]
                case _:
                    changed[where : where + 2] = choose.choice([b"\x00\x00", b"\xff\xff", b"\x40\x01"])
        return bytes(changed)


class NamedByOpenssl:
    """Asks OpenSSL's parser for the server name in a hello."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.sni_callback = self._note
        self._named: list[str | None] = []

    def _note(self, _connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int:
        self._named.append(name)
        return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR

    def __call__(self, octets: bytes) -> str | None:
        self._named = []
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self._context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(octets)
        with contextlib.suppress(ssl.SSLError):
            server.do_handshake()
        return self._named[0] if self._named else None


def check_hello(damage: Damage, named_by_openssl: NamedByOpenssl) -> str:
    """Read one hello, and compare the name with OpenSSL's."""
    octets = damage.hello()
    ours = ClientHelloReader().feed(octets)
    theirs = named_by_openssl(octets)
    if theirs is not None and isinstance(ours, ClientHello):
        assert ours.server_name == theirs.lower().removesuffix("."), octets.hex()
        return "hello: same name"
    return (
        "hello: incomplete" if ours is None else f"hello: {type(ours).__name__}, which OpenSSL does not name"
    )


def check_stream(damage: Damage, context: ssl.SSLContext, client_context: ssl.SSLContext) -> str:
    """Damage one flight of a connection in memory: of its handshake or behind it."""
    buffers = TlsBuffers()
    client, server = MemoryClient(client_context), TlsStream(context, buffers)
    broken_at = damage.random.randrange(4)
    outcome = "stream: whole"
    try:
        octets = client.start()
        for flight in range(4):
            octets = damage.damaged(octets) if flight == broken_at else octets
            if client.established and flight:
                server.receive(octets)
                octets = client.send(b"content")
            else:
                server.handshake(octets)
                octets = client.receive(server.take_answers())
        if server.error is not None:
            outcome = "stream: error behind the handshake"
    except TlsStreamError:
        outcome = "stream: error in the handshake"
    except ssl.SSLError:
        outcome = "stream: the client gave up"
    assert not buffers.incoming.pending
    assert not buffers.outgoing.pending
    return outcome


def check_server(damage: Damage, server: TlsServer) -> str:
    """Send one damaged hello to a real server and leave."""
    with server.connect() as raw:
        raw.sendall(damage.hello())
        if damage.random.random() < 0.5:
            raw.shutdown(socket.SHUT_WR)
            try:
                return f"server: {'answer' if raw.recv(65536) else 'closed'}"
            except ConnectionResetError:
                return "server: reset"
    return "server: left at once"


def main(rounds: int, seed: int) -> None:
    """Run all rounds and print what came of them."""
    damage, named_by_openssl, counts = Damage(seed), NamedByOpenssl(), Counter[str]()
    sys.unraisablehook = lambda _: None  # sni_callback's complaints about names that are not ASCII
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        context = build_context(KeyPair(*authority.pair(NAME)))
        clients = [authority.client_context() for _ in VERSIONS]
        for client_context, version in zip(clients, VERSIONS, strict=True):
            client_context.maximum_version = version
        with TlsServer(authority, default=NAME) as server, server.client() as witness:
            for number in range(rounds):
                counts[check_hello(damage, named_by_openssl)] += 1
                counts[check_stream(damage, context, clients[number % 2])] += 1
                counts[check_server(damage, server)] += 1
                if number % WITNESS_EVERY == 0:
                    assert get(witness, 100_000) == pattern(0, 100_000)
                    with server.client() as other:
                        assert get(other, 1000) == pattern(0, 1000)
            server.wait_for("abandoned")
    for outcome, count in sorted(counts.items()):
        print(f"{count:8} {outcome}")
    print(f"{rounds} rounds, seed {seed}, {time.monotonic() - began:.0f} s; nothing raised, no name differed")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 20_000,
        int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32),
    )
