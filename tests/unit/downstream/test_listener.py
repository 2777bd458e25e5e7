"""Connections of which nobody can say any more from where they came: what they have sent must not be served."""

import asyncio
import socket
import struct

import uvloop

from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Listener
from tests.fakes.gateway import Gateway, configuration
from tests.fakes.transport import RecordingTransport

SITE = 'domains = ["a.test"]\nupstream = "http://127.0.0.1:1"'
RESET = struct.pack("ii", 1, 0)


def test_a_request_whose_client_reset_before_it_was_accepted_is_not_served() -> None:
    async def scene() -> None:
        async with Gateway(configuration(SITE)) as gateway:
            await visit_behind_one_that_is_gone(gateway)

    uvloop.run(scene())  # which asks the kernel for the peer's name, and not before it is wanted


async def visit_behind_one_that_is_gone(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as gone:  # the loop accepts nothing meanwhile
        gone.sendall(b"POST /gone HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET /present HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 502 ")
    writer.close()
    await writer.wait_closed()
    assert [line["target"] for line in gateway.log] == ["/present"]
    assert await gateway.leftovers() == []


async def test_nor_is_one_whose_client_reset_during_its_handshake() -> None:
    async with Gateway(configuration(SITE)) as gateway:
        listener = Listener(gateway.plane._downstream, tls=True, port=443)
        raw = RecordingTransport(extra={"peername": ("192.0.2.1", 4711)})
        assert listener.admit(raw)
        secure = RecordingTransport(extra={"raw_transport": raw})  # the kernel names no peer any more
        connection = ClientConnection(listener)
        connection.connection_made(secure)
        assert secure.calls == ["abort"]
        connection.connection_lost(None)
        assert gateway.plane.active() == 0
        assert not listener._admitted
