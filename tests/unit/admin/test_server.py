"""The embedded server: real connections, bounded, stopped without a trace."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from proxy.admin import server
from proxy.admin.application import monitoring_application
from proxy.admin.server import AdminServer
from tests.fakes.operations import FakeOperations

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: anything\r\n\r\n"


class Served:
    """A running server and where it is."""

    def __init__(self, listening: socket.socket) -> None:
        self.address = listening.getsockname()
        self.server = AdminServer(monitoring_application(FakeOperations()), listening)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served(socket.create_server(("127.0.0.1", 0)))
    yield served
    await served.server.stop()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one answer: its head in lower case, and its content."""
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        return head, await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))


async def test_it_answers_on_a_connection_that_stays(served: Served) -> None:
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(REQUEST)
        head, content = await answer(reader)
        assert head.startswith(b"http/1.1 200 ")
        assert b"\r\ndate: " in head
        assert b"\r\nserver:" not in head
        assert content == b"ok\n"
    writer.close()


async def test_a_client_that_sends_nothing_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PATIENCE", 0.0)
    reader, writer = await served.connect()
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()


async def test_the_longest_idle_connection_makes_room(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 2)
    connections = [await served.connect() for _ in range(2)]
    for reader, writer in connections:
        writer.write(REQUEST)
        await answer(reader)
    connections.append(await served.connect())
    async with asyncio.timeout(60):
        assert await connections[0][0].read() == b""
    for reader, writer in connections[1:]:
        writer.write(REQUEST)
        assert (await answer(reader))[1] == b"ok\n"
    for _, writer in connections:
        writer.close()


async def test_who_has_not_asked_yet_pushes_nobody_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 1)
    reader, writer = await served.connect()
    late_reader, late_writer = await served.connect()
    async with asyncio.timeout(60):
        assert await late_reader.read() == b""
    writer.write(REQUEST)
    assert (await answer(reader))[1] == b"ok\n"
    for one in (writer, late_writer):
        one.close()


async def test_a_request_that_brings_much_is_cut_off(served: Served) -> None:
    _, writer = await served.connect()
    writer.write(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()
    writer.close()


async def test_a_second_request_that_drips_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PATIENCE", 1.0)
    reader, writer = await served.connect()
    writer.write(REQUEST)
    await answer(reader)
    writer.write(b"GET /hea")
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_who_takes_nothing_of_a_large_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PATIENCE", 0.05)
    lost = asyncio.Event()
    told = server._BoundedProtocol.connection_lost

    def connection_lost(self: server._BoundedProtocol, exc: Exception | None) -> None:
        told(self, exc)
        lost.set()

    monkeypatch.setattr(server._BoundedProtocol, "connection_lost", connection_lost)
    operations = FakeOperations(exposition=bytes(16 * 1024 * 1024))
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    running = AdminServer(monitoring_application(operations), listening)
    reader, writer = await asyncio.open_connection(*address, limit=1024)
    writer.write(REQUEST.replace(b"healthz", b"metrics"))
    async with asyncio.timeout(60):
        await reader.readuntil(b"\r\n\r\n")
        await lost.wait()
    writer.close()
    await running.stop()


async def test_stopping_closes_the_socket_and_leaves_the_signals_alone(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(REQUEST)
    await answer(reader)
    await served.server.stop()
    with pytest.raises(ConnectionRefusedError):
        await served.connect()
    assert await reader.read() == b""
    writer.close()


async def test_requests_leave_no_line_in_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        reader, writer = await served.connect()
        writer.write(REQUEST)
        await answer(reader)
        writer.write(b"nonsense\r\n\r\n")
        await reader.read()
        writer.close()
    assert [record.levelno for record in caplog.records] in ([], [logging.WARNING])
