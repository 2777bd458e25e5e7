"""Both ends of a gateway in one script: a client and an app that send and receive exactly what the test says.

A transcript is straight-line code (`await client.send(...)`, `await app.request()`), and it is run several times:
with every message in one piece, octet by octet, and cut at random places that stay the same from run to run. Once
more it is run with the output cache on, which must not be noticed by those who ask for nothing twice.
"""

import asyncio
import contextlib
import random
import socket
from typing import Final, Self

from tests.fakes.gateway import Gateway, configuration
from tests.fakes.peer import OCTETS, RANDOM, WHOLE, Peer, patience
from tests.fakes.warped_loop import turns

CACHED: Final = "whole, with the cache on"
CUTS: Final = (WHOLE, OCTETS, RANDOM)


class App:
    """Where the gateway's connections to an app arrive."""

    def __init__(self, play: "Play") -> None:
        self._play = play
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listening.setblocking(False)
        self.port = int(self._listening.getsockname()[1])

    async def accept(self) -> Peer:
        """Take the next connection that the gateway makes."""
        async with patience():
            return self._play.peer(await self.accept_socket())

    async def accept_socket(self) -> socket.socket:
        """Take the next connection, however long it takes, as a plain socket, which the caller closes."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        return sock

    def waiting(self) -> list[socket.socket]:
        """Take the connections that wait to be accepted, as plain sockets."""
        sockets: list[socket.socket] = []
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                sock.setblocking(False)
                sockets.append(sock)
        return sockets

    def nobody_came(self) -> bool:
        """Say whether no connection waits to be accepted."""
        sockets = self.waiting()
        for sock in sockets:
            sock.close()
        return not sockets

    def close(self) -> None:
        """Listen no more: connections are refused from now on."""
        self._listening.close()


class Play:
    """One run of a transcript: a gateway, its app, and its clients."""

    def __init__(self, cut: str, seed: str, *, cached: bool = False) -> None:
        self.cut = cut
        self.cached = cached
        #: Tasks that are cancelled leave cycles behind, and so does a fetch for the cache with its request.
        self.leaves_cycles = cached
        self._draw = random.Random(seed)
        self._peers: list[Peer] = []
        self._gateway: Gateway | None = None
        self.app = App(self)
        self.spare = App(self)  # a second address, for those who configure one

    @property
    def gateway(self) -> Gateway:
        """Return the gateway, which must have been started."""
        assert self._gateway is not None
        return self._gateway

    async def start(self, *, site: str = "", domains: str = '["a.test"]', **tables: str) -> Gateway:
        """Start the gateway with one site in front of `app`; `site` and `tables` are lines of proxy.toml."""
        upstream = "" if "upstream =" in site.partition("[[")[0] else f'upstream = "{self.url}"\n'
        text = f"domains = {domains}\n{upstream}{site}"
        self._gateway = await Gateway(configuration(text, **tables), cached=self.cached).__aenter__()
        return self._gateway

    @property
    def url(self) -> str:
        """Return the app's URL."""
        return f"http://127.0.0.1:{self.app.port}"

    @property
    def spare_url(self) -> str:
        """Return the URL of the second address."""
        return f"http://127.0.0.1:{self.spare.port}"

    def peer(self, sock: socket.socket, cut: str = "") -> Peer:
        """Keep one end of a connection until the run is over; `cut` for another way of cutting than the run's."""
        self._peers.append(Peer(sock, cut or self.cut, self._draw))
        return self._peers[-1]

    async def client(self, cut: str = "") -> Peer:
        """Connect to the gateway, started with what is usual if it was not started yet."""
        if self._gateway is None:
            await self.start()
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.gateway.port))
        return self.peer(sock, cut)

    async def both(self) -> tuple[Peer, Peer]:
        """Return a client and the app's end of the connection that its first request, GET /first, has made.

        The response to it has been relayed, so that both connections wait for the next request.
        """
        client = await self.client()
        await client.send("GET /first HTTP/1.1", "Host: a.test")
        app = await self.app.accept()
        await app.request()
        await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
        assert (await client.response()).status == 200
        return client, app

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for peer in self._peers:
            peer.close()
        for app in (self.app, self.spare):
            app.close()
        if self._gateway is not None:
            await self._gateway.__aexit__(None, None, None)

    async def turn(self) -> None:
        """Let everything happen that can happen now."""
        await turns()

    async def leftovers(self) -> list[str]:
        """Reset what is still open at either end, and say what the gateway has not cleaned up."""
        for app in (self.app, self.spare):
            app.close()
        for peer in self._peers:
            peer.reset()
        return await self.gateway.leftovers() if self._gateway is not None else []
