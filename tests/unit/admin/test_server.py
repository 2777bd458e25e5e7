"""The embedded server: real connections, bounded, stopped without a trace."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

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
    async with asyncio.timeout(10):
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
    monkeypatch.setattr(server, "_FIRST_REQUEST", 0.0)
    reader, writer = await served.connect()
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_there_is_a_bound_on_connections(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 1)
    reader, writer = await served.connect()
    writer.write(REQUEST)
    await answer(reader)
    late_reader, late_writer = await served.connect()
    async with asyncio.timeout(10):
        assert await late_reader.read() == b""
    writer.write(REQUEST)
    assert (await answer(reader))[1] == b"ok\n"
    for one in (writer, late_writer):
        one.close()


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
