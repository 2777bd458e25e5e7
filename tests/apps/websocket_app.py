"""A WebSocket server (the `websockets` package) that listens on the descriptor that LISTEN_FD names."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol


async def echo(connection: ServerConnection) -> None:
    """Send every message back."""
    async for message in connection:
        await connection.send(message)


async def fragments(connection: ServerConnection) -> None:
    """Send every text message back in fragments of one character."""
    async for message in connection:
        await connection.send(iter(str(message)))


async def greet(connection: ServerConnection) -> None:
    """Speak first, right behind the handshake, and then echo."""
    await connection.send("hello")
    await echo(connection)


async def ping(connection: ServerConnection) -> None:
    """Ping the client and tell that its pong came."""
    await (await connection.ping(b"are you there"))
    await connection.send("pong came")


async def leave(connection: ServerConnection) -> None:
    """Close with the code and the reason that the query asks for."""
    query = parse_qs(urlsplit(connection.request.path if connection.request else "").query)
    await connection.close(int(query["code"][0]), query["reason"][0])


async def tell_close(connection: ServerConnection) -> None:
    """Remember how the client leaves, under the key that the query names."""
    await connection.wait_closed()
    left(connection).set_result(f"{connection.close_code} {connection.close_reason}")


async def last(connection: ServerConnection) -> None:
    """Tell how the client of /tell with the same key left, as soon as it has."""
    await connection.send(await left(connection))


def left(connection: ServerConnection) -> "asyncio.Future[str]":
    """Return the place where /tell leaves word for /last."""
    path = connection.request.path if connection.request else ""
    return leavings.setdefault(parse_qs(urlsplit(path).query)["key"][0], asyncio.Future())


HANDLERS: dict[str, Callable[[ServerConnection], Awaitable[None]]] = {
    "/echo": echo,
    "/fragments": fragments,
    "/greet": greet,
    "/ping": ping,
    "/leave": leave,
    "/tell": tell_close,
    "/last": last,
}
leavings: dict[str, "asyncio.Future[str]"] = {}


def refuse_unknown(connection: ServerConnection, request: Request) -> Response | None:
    """Answer 404 for a path without a handler."""
    if urlsplit(request.path).path in HANDLERS:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, "no such socket\n")


def choose_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Agree on chat.v2 when the client offers it."""
    return Subprotocol("chat.v2") if "chat.v2" in offered else None


async def handle(connection: ServerConnection) -> None:
    """Run the handler that the path names."""
    await HANDLERS[urlsplit(connection.request.path if connection.request else "").path](connection)


async def main() -> None:
    """Serve until killed."""
    listening = socket.socket(fileno=int(os.environ["LISTEN_FD"]))
    async with serve(
        handle,
        sock=listening,
        process_request=refuse_unknown,
        max_size=2**24,
        select_subprotocol=choose_subprotocol,
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
