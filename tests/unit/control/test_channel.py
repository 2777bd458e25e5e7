"""The channel: whole messages with their descriptors, never blocking, and a clear end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from proxy.config.schema import Config, Site
from proxy.control.channel import SupervisorChannel, WorkerChannel, channel_pair
from proxy.control.messages import Command, Configure, Drain, Listen, Ping, Pong, Ready, Report


@dataclass
class Side:
    """What one end has received."""

    got: "asyncio.Queue[tuple[Report | Command, list[int]]]" = field(default_factory=asyncio.Queue)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    closings: int = 0
    fault: str = ""

    def take_report(self, report: Report) -> None:
        self.got.put_nowait((report, []))

    def take_command(self, command: Command, descriptors: list[int]) -> None:
        self.got.put_nowait((command, descriptors))

    def close(self, fault: str) -> None:
        self.closings += 1
        self.fault = fault
        self.closed.set()

    async def next(self) -> tuple[Report | Command, list[int]]:
        async with asyncio.timeout(60):
            return await self.got.get()


@dataclass
class Pair:
    """Both ends, connected."""

    supervisor: SupervisorChannel
    worker: WorkerChannel
    at_supervisor: Side
    at_worker: Side


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    ours, theirs = channel_pair()
    at_supervisor, at_worker = Side(), Side()
    supervisor = SupervisorChannel(loop, ours, at_supervisor.take_report, at_supervisor.close)
    worker = WorkerChannel(loop, theirs, at_worker.take_command, at_worker.close)
    yield Pair(supervisor, worker, at_supervisor, at_worker)
    supervisor.close()
    worker.close()


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def test_messages_arrive_in_order_both_ways(pair: Pair) -> None:
    for number in range(5):
        pair.supervisor.send(Ping(number))
        pair.worker.send(Pong(number, 7))
    assert [await pair.at_worker.next() for _ in range(5)] == [(Ping(number), []) for number in range(5)]
    assert [await pair.at_supervisor.next() for _ in range(5)] == [
        (Pong(number, 7), []) for number in range(5)
    ]


async def test_descriptors_travel_with_their_message(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = open_descriptors()
        pair.supervisor.send(Listen("http", False, 80), [listening.fileno()])
        command, descriptors = await pair.at_worker.next()
        assert command == Listen("http", False, 80)
        (descriptor,) = descriptors
        assert not os.get_inheritable(descriptor)
        with socket.socket(fileno=descriptor) as received:
            assert received.getsockname() == listening.getsockname()
        assert open_descriptors() == before


async def test_a_message_larger_than_a_packet_arrives_whole(pair: Pair) -> None:
    sites = tuple(Site(domains=(f"{number}.test",), name=f"{number}.test") for number in range(3000))
    large = Configure(1, Config(sites=sites), {})
    before = open_descriptors()
    pair.supervisor.send(large)
    assert await pair.at_worker.next() == (large, [])
    assert open_descriptors() == before


async def test_what_the_socket_does_not_take_waits(pair: Pair) -> None:
    for number in range(250):
        pair.supervisor.send(Listen("x" * 10_000, False, number))
    for number in range(250):
        command, _ = await pair.at_worker.next()
        assert command == Listen("x" * 10_000, False, number)


async def test_an_other_side_that_does_not_read_counts_as_gone(pair: Pair) -> None:
    """Nothing is awaited here, so the worker never reads."""
    before = open_descriptors()
    for _ in range(600):
        pair.supervisor.send(Listen("x" * 50_000, False, 1), [0])
    assert (pair.at_supervisor.closings, pair.at_supervisor.fault) == (1, "it does not read its messages")
    assert len(open_descriptors()) == len(before) - 1


async def test_each_side_learns_once_that_the_other_is_gone(pair: Pair) -> None:
    pair.worker.close()
    async with asyncio.timeout(60):
        await pair.at_supervisor.closed.wait()
    pair.supervisor.send(Drain(1.0))
    assert (pair.at_supervisor.closings, pair.at_worker.closings) == (1, 0)


async def test_a_message_on_the_way_is_read_before_the_end(pair: Pair) -> None:
    pair.worker.send(Ready(1))
    pair.worker.close()
    assert await pair.at_supervisor.next() == (Ready(1), [])
    async with asyncio.timeout(60):
        await pair.at_supervisor.closed.wait()


async def test_a_message_on_the_way_outlives_what_its_sender_never_read(pair: Pair) -> None:
    pair.supervisor.send(Ping(1))
    pair.worker.send(Ready(1))
    pair.worker.close()
    pair.supervisor.send(Ping(2))
    assert await pair.at_supervisor.next() == (Ready(1), [])
    async with asyncio.timeout(60):
        await pair.at_supervisor.closed.wait()
    assert (pair.at_supervisor.closings, pair.at_supervisor.fault) == (1, "")


async def test_a_message_is_read_after_its_senders_end_is_known(pair: Pair) -> None:
    pair.supervisor.send(Ping(1))
    pair.worker.send(Ready(1))
    pair.worker.close()
    pair.supervisor.read_rest()
    assert pair.at_supervisor.got.get_nowait() == (Ready(1), [])
    assert pair.at_supervisor.closings == 1


@pytest.mark.parametrize("packet", [b"not json", b"{}", b"x" * 50_000])
async def test_a_worker_that_breaks_the_rules_is_cut_off(packet: bytes) -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = channel_pair()
    side = Side()
    channel = SupervisorChannel(loop, ours, side.take_report, side.close)
    with theirs:
        theirs.send(packet)
        async with asyncio.timeout(60):
            await side.closed.wait()
        assert theirs.recv(1) == b""
    assert side.fault.startswith("it sent a report ")
    assert side.got.empty()
    channel.close()


async def test_descriptors_from_a_worker_are_dropped() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = channel_pair()
    side = Side()
    channel = SupervisorChannel(loop, ours, side.take_report, side.close)
    before = open_descriptors()
    with theirs:
        socket.send_fds(theirs, [b'{"report": "ready", "generation": 1}'], [0, 0, 0])
        assert await side.next() == (Ready(1), [])
        assert open_descriptors() == before
    channel.close()
