"""Who answers for a challenge at an address."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from autocert.probe import Answered, probe
from tests.fakes.http01 import ChallengeServer
from tests.fakes.ports import free_port

NAME, TOKEN = "www.example.com", "t" * 43


@pytest.fixture
async def server() -> AsyncIterator[ChallengeServer]:
    async with ChallengeServer() as found:
        yield found


async def test_we_do(server: ChallengeServer) -> None:
    server.thumbprint = "ours"
    found = await probe(NAME, "127.0.0.1", server.port, TOKEN, f"{TOKEN}.ours")
    assert (found.answered, found.is_here, found.elsewhere) == (Answered.BY_US, True, False)
    assert server.asked == [NAME]


async def test_somebody_else_does(server: ChallengeServer) -> None:
    found = await probe(NAME, "127.0.0.1", server.port, TOKEN, f"{TOKEN}.ours")
    assert (found.answered, found.detail) == (Answered.BY_OTHER, "127.0.0.1: HTTP/1.1 404 Not Found")


async def test_a_page_that_repeats_the_path_is_somebody_else_s() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\nThere is no /" + TOKEN.encode() + b".")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as other:
        found = await probe(NAME, "127.0.0.1", other.sockets[0].getsockname()[1], TOKEN, f"{TOKEN}.")
    assert found.answered is Answered.BY_OTHER


async def test_nobody_does() -> None:
    found = await probe(NAME, "127.0.0.1", free_port(), TOKEN, "x")
    assert found.answered is Answered.NOT_AT_ALL
    assert "127.0.0.1" in found.detail


@pytest.mark.parametrize("octets", [b"", b"\xff" * 100, b"x" * 100_000])
async def test_what_answers_may_be_anything(octets: bytes) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        found = await probe(NAME, "127.0.0.1", port, TOKEN, f"{TOKEN}.ours")
    assert found.answered in {Answered.BY_OTHER, Answered.NOT_AT_ALL}


async def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autocert.probe._SECONDS", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = await probe(NAME, "127.0.0.1", silent.getsockname()[1], TOKEN, "x")
    assert (found.answered, found.detail) == (Answered.NOT_AT_ALL, "127.0.0.1: no answer in time")


async def test_an_address_family_that_this_machine_lacks() -> None:
    found = await probe(NAME, "2001:db8::1", 80, TOKEN, "x")
    assert found.answered is Answered.NOT_AT_ALL
    assert not found.is_here
