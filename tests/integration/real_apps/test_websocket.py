"""WebSocket through a tunnel, with the `websockets` package on both ends."""

import asyncio
import socket

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.typing import Subprotocol

from tests.fakes.front import TIMEOUT, Front

MEGABYTE = 2**20
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def opened(front: Front, path: str, *, deflate: bool = True, subprotocol: str = "") -> connect:
    return connect(
        f"ws://{front.authority}{path}",
        host="127.0.0.1",
        port=front.port,
        compression="deflate" if deflate else None,
        subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
        max_size=2**24,
        proxy=None,
    )


async def echoed(connection: ClientConnection, message: str | bytes) -> str | bytes:
    await connection.send(message)
    return await asyncio.wait_for(connection.recv(), TIMEOUT)


@pytest.mark.parametrize("deflate", [True, False])
async def test_text_and_binary(socket_url: tuple[Front, str], deflate: bool) -> None:
    async with opened(*socket_url, deflate=deflate) as connection:
        extensions = [extension.name for extension in connection.protocol.extensions]
        assert extensions == (["permessage-deflate"] if deflate else [])
        for message in ("text", "höchst", "", b"binary\x00\xff", b""):
            assert await echoed(connection, message) == message


@pytest.mark.parametrize("deflate", [True, False])
async def test_messages_of_a_megabyte(socket_url: tuple[Front, str], deflate: bool) -> None:
    async with opened(*socket_url, deflate=deflate) as connection:
        text, binary = "0123456789abcdef" * (MEGABYTE // 16), bytes(range(256)) * (MEGABYTE // 256)
        for _ in range(2):
            assert await echoed(connection, text) == text
            assert await echoed(connection, binary) == binary


async def test_fragments_from_the_client(socket_url: tuple[Front, str]) -> None:
    async with opened(*socket_url) as connection:
        await connection.send(["in ", "three ", "pieces"])
        assert await asyncio.wait_for(connection.recv(), TIMEOUT) == "in three pieces"


async def test_fragments_from_the_app(websocket: Front) -> None:
    async with opened(websocket, "/fragments") as connection:
        await connection.send("pieces")
        assert [piece async for piece in connection.recv_streaming()] == [*"pieces", ""]


async def test_many_messages_stay_in_order(socket_url: tuple[Front, str]) -> None:
    async with opened(*socket_url) as connection:
        for number in range(1000):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(1000)] == [str(number) for number in range(1000)]


async def test_the_client_pings(socket_url: tuple[Front, str]) -> None:
    async with opened(*socket_url) as connection:
        assert await asyncio.wait_for(await connection.ping(b"payload"), TIMEOUT) >= 0.0


async def test_the_app_pings(websocket: Front) -> None:
    async with opened(websocket, "/ping") as connection:
        assert await asyncio.wait_for(connection.recv(), TIMEOUT) == "pong came"


async def test_the_app_speaks_first(websocket: Front) -> None:
    async with opened(websocket, "/greet") as connection:
        assert await asyncio.wait_for(connection.recv(), TIMEOUT) == "hello"
        assert await echoed(connection, "hello yourself") == "hello yourself"


async def test_a_subprotocol_is_agreed_on(websocket: Front) -> None:
    async with opened(websocket, "/echo", subprotocol="chat.v2") as connection:
        assert connection.subprotocol == "chat.v2"


@pytest.mark.parametrize("code", [1000, 1001, 4001])
async def test_the_app_closes_with_a_code(websocket: Front, code: int) -> None:
    async with opened(websocket, f"/leave?code={code}&reason=bye") as connection:
        expected = ConnectionClosedOK if code < 1002 else ConnectionClosedError
        with pytest.raises(expected):
            await asyncio.wait_for(connection.recv(), TIMEOUT)
        assert (connection.close_code, connection.close_reason) == (code, "bye")


@pytest.mark.parametrize("code", [1000, 3999, 4002])
async def test_the_client_closes_with_a_code(websocket: Front, code: int) -> None:
    async with opened(websocket, f"/tell?key={websocket.port}-{code}") as connection:
        await connection.close(code, "so long")
    async with opened(websocket, f"/last?key={websocket.port}-{code}") as connection:
        assert await asyncio.wait_for(connection.recv(), TIMEOUT) == f"{code} so long"


async def test_a_client_that_vanishes_is_noticed_by_the_app(websocket: Front) -> None:
    key = f"{websocket.port}-vanished"
    async with opened(websocket, f"/tell?key={key}") as connection:
        connection.transport.abort()
    async with opened(websocket, f"/last?key={key}") as connection:
        assert await asyncio.wait_for(connection.recv(), TIMEOUT) == "1006 "


async def test_a_refused_handshake_passes_as_a_response(socket_url: tuple[Front, str]) -> None:
    front, _ = socket_url
    with pytest.raises(InvalidStatus) as caught:
        async with opened(front, "/no-such-socket"):
            pass
    assert caught.value.response.status_code in (403, 404)


def frame(text: str) -> bytes:
    """Return a short masked text frame; the mask is zero."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode()


def handshake(front: Front, path: str) -> bytes:
    fields = {
        "Host": front.authority,
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "WebSocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    return "\r\n".join([f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items()), "", ""]).encode()


def test_frames_right_behind_the_handshake_are_not_lost(websocket: Front) -> None:
    with socket.create_connection(("127.0.0.1", websocket.port), timeout=TIMEOUT) as client:
        client.sendall(handshake(websocket, "/echo") + frame("one") + frame("two"))
        answer = client.makefile("rb")
        head = b"".join(iter(answer.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101 ")
        assert ACCEPT in head
        assert answer.read(10) == b"\x81\x03one\x81\x03two"
