"""A worker carries out commands in order, answers pings at once, and ends when it is told or left alone."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.caching.store import create_cache
from proxy.config.schema import Config, Server
from proxy.control import messages as control
from proxy.control.channel import SupervisorChannel, channel_pair
from proxy.control.messages import CACHE_LIFE, CACHE_LOCKS, CACHE_MEMORY, ControlError, Report
from proxy.shared_memory import SharedMemory, SharedMemoryError
from proxy.telemetry import counters
from proxy.telemetry.counters import COUNTERS_KIND, COUNTERS_LAYOUT, COUNTERS_SIZE
from proxy.upstream.addresses import UpstreamAddresses
from proxy.worker.plane import Surroundings
from proxy.worker.process import Worker
from tests.fakes.plane import FakePlane


class Supervised:
    """A worker in this very process, with the supervisor's end of its channel."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = channel_pair()
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.channel = SupervisorChannel(loop, ours, self.reports.put_nowait, lambda _fault: None)
        self.region = SharedMemory.create(COUNTERS_KIND, layout=COUNTERS_LAYOUT, size=COUNTERS_SIZE)
        self.planes: list[FakePlane] = []
        self.running = asyncio.create_task(Worker(loop, theirs, self.make_plane).run())

    def make_plane(
        self, _loop: asyncio.AbstractEventLoop, first: control.Configure, surroundings: Surroundings
    ) -> FakePlane:
        self.planes.append(FakePlane(first.config, first.site_blocks, surroundings, first.firewalls))
        return self.planes[-1]

    @property
    def plane(self) -> FakePlane:
        (plane,) = self.planes
        return plane

    def brief(self, config: Config | None = None) -> None:
        """Send what every worker gets first."""
        self.channel.send(
            control.Attach(4, 9, (COUNTERS_KIND, "other"), b"secret"),
            [self.region.descriptor, self.region.descriptor],
        )
        self.channel.send(control.Configure(1, config or Config(), {"a.test": 1}))

    async def report(self) -> Report:
        async with asyncio.timeout(60):
            return await self.reports.get()

    async def settled(self) -> None:
        """Wait until every command sent so far has been carried out."""
        self.channel.send(control.Serve())
        while not isinstance(await self.report(), control.Ready):
            pass

    async def exit_status(self) -> int:
        async with asyncio.timeout(60):
            return await self.running


@pytest.fixture
async def worker() -> AsyncIterator[Supervised]:
    supervised = Supervised()
    yield supervised
    supervised.channel.close()
    supervised.running.cancel()
    await asyncio.gather(supervised.running, return_exceptions=True)
    supervised.region.close()


async def test_it_builds_its_plane_from_what_it_is_sent(worker: Supervised) -> None:
    worker.brief()
    message = UpstreamAddresses(name="app", addresses=("10.0.0.1",))
    worker.channel.send(control.Upstreams((message, message)))
    worker.channel.send(control.Serve())
    assert await worker.report() == control.Ready(1)
    given = worker.plane.surroundings
    assert (given.worker, given.row, given.secret, set(given.memory)) == (4, 9, b"secret", {"other"})
    assert worker.plane.site_blocks == {"a.test": 1}
    assert worker.plane.upstreams == [message, message]
    given.counters.add(counters.HTTP_OPENED, 3)
    assert worker.region.words[counters.HTTP_OPENED] == 3
    os.close(given.memory["other"])


async def test_it_listens_and_stops_listening_by_name(worker: Supervised) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        worker.brief()
        worker.channel.send(control.Listen("http", False, 80), [one.fileno()])
        worker.channel.send(control.Listen("https", True, 443), [two.fileno()])
        await worker.settled()
        ports = one.getsockname()[1], two.getsockname()[1]
        assert worker.plane.listening == {ports[0]: (False, 80), ports[1]: (True, 443)}
        worker.channel.send(control.Unlisten("http"))
        worker.channel.send(control.Unlisten("unheard of"))
        await worker.settled()
        assert worker.plane.listening == {ports[1]: (True, 443)}
        worker.channel.send(control.Unlisten("https"))
        await worker.settled()
        assert worker.plane.listening == {}


async def test_pings_are_answered_before_anything_else_is_there(worker: Supervised) -> None:
    worker.channel.send(control.Ping(1))
    assert await worker.report() == control.Pong(1, 0)
    worker.brief()
    await worker.settled()
    worker.plane.connections = 5
    worker.channel.send(control.Ping(2))
    assert await worker.report() == control.Pong(2, 5)


async def test_the_cache_moves_step_by_step(worker: Supervised) -> None:
    worker.brief()
    made = create_cache(1 << 20, 1 << 16)
    names = (CACHE_MEMORY, CACHE_LOCKS, CACHE_LIFE)
    worker.channel.send(control.OpenCacheBeside(names), tuple(made))
    worker.channel.send(control.SwapCaches())
    worker.channel.send(control.LeaveOtherCache())
    await worker.settled()
    size, *steps = worker.plane.cache_memory.steps
    assert isinstance(size, int)
    assert 0 < size < 1 << 20
    assert steps == ["swap", "leave"]
    for descriptor in made:
        os.close(descriptor)


async def test_a_new_snapshot_is_applied_or_refused(worker: Supervised) -> None:
    worker.brief()
    await worker.settled()
    new = Config(server=Server(drain_timeout=3.0))
    worker.channel.send(control.Configure(2, new, {"b.test": 2}))
    assert await worker.report() == control.Applied(2)
    assert (worker.plane.config, worker.plane.site_blocks) == (new, {"b.test": 2})
    worker.plane.refuses = True
    worker.channel.send(control.Configure(3, Config(), {}))
    assert await worker.report() == control.Refused(3, "OSError: no such log")
    worker.channel.send(control.Serve())
    assert await worker.report() == control.Ready(2)


async def test_certificates_and_challenges_reach_the_plane(worker: Supervised) -> None:
    worker.brief()
    worker.channel.send(control.SetCertificate("a.test", b"chain", b"key"))
    worker.channel.send(control.FailCertificate("b.test"))
    worker.channel.send(control.SetThumbprint(("a.test", "b.test"), "thumb"))
    worker.channel.send(control.SetPlaceholder(b"other chain", b"other key"))
    worker.channel.send(control.Sync(7))
    assert await worker.report() == control.Synced(7)
    assert worker.plane.certificates == {"a.test": (b"chain", b"key"), "": (b"other chain", b"other key")}
    assert worker.plane.failed == ["b.test"]
    assert worker.plane.thumbprints == {"a.test": "thumb", "b.test": "thumb"}
    worker.plane.surroundings.report(control.CertificateWanted("c.test"))
    assert await worker.report() == control.CertificateWanted("c.test")


async def test_logs_are_reopened(worker: Supervised) -> None:
    worker.brief()
    worker.channel.send(control.ReopenLogs())
    await worker.settled()
    assert worker.plane.reopened == 1


async def test_draining_ends_it_and_a_second_one_overrules_the_first(worker: Supervised) -> None:
    worker.brief()
    await worker.settled()
    worker.channel.send(control.Drain(3600.0))
    await worker.settled()
    assert not worker.running.done()
    worker.channel.send(control.Drain(0.0))
    assert await worker.exit_status() == 0
    assert worker.plane.drains == [3600.0, 0.0]


async def test_the_end_of_the_channel_is_the_end_of_the_supervisor(worker: Supervised) -> None:
    worker.brief(Config(server=Server(drain_timeout=5.0)))
    await worker.settled()
    worker.channel.close()
    worker.plane.finish.set()
    assert await worker.exit_status() == 0
    assert worker.plane.drains == [5.0]


async def test_without_a_configuration_there_is_nothing_to_drain(worker: Supervised) -> None:
    worker.channel.close()
    assert await worker.exit_status() == 0


async def test_a_signal_of_its_own_makes_it_leave(worker: Supervised) -> None:
    worker.brief()
    await worker.settled()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await worker.report() == control.Leaving()
    worker.plane.finish.set()
    assert await worker.exit_status() == 0


async def test_without_memory_it_leaves_once(worker: Supervised) -> None:
    worker.brief()
    await worker.settled()
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "a callback failed", "exception": ValueError()})
    for _ in range(3):
        loop.call_exception_handler({"message": "a callback failed", "exception": MemoryError()})
    assert await worker.report() == control.Leaving()
    worker.plane.finish.set()
    assert await worker.exit_status() == 0
    assert worker.reports.empty()


async def test_a_socket_that_comes_while_draining_is_not_listened_on(worker: Supervised) -> None:
    worker.brief()
    worker.channel.send(control.Drain(3600.0))
    with socket.create_server(("127.0.0.1", 0)) as late:
        worker.channel.send(control.Listen("http", False, 80), [late.fileno()])
        await worker.settled()
    assert worker.plane.listening == {}


@pytest.mark.parametrize(
    "command", [control.Configure(1, Config(), {}), control.ReopenLogs(), control.Upstreams(())]
)
async def test_commands_in_the_wrong_order_end_it(worker: Supervised, command: control.Command) -> None:
    if isinstance(command, control.Upstreams):
        command = control.Upstreams((UpstreamAddresses(name="app", addresses=()),))
    worker.channel.send(command)
    with pytest.raises(ControlError):
        await worker.exit_status()


async def test_memory_that_is_not_what_it_should_be_ends_it(worker: Supervised) -> None:
    other = SharedMemory.create("other", layout=1, size=64)
    worker.channel.send(control.Attach(0, 0, (COUNTERS_KIND,), b""), [other.descriptor])
    with pytest.raises(SharedMemoryError):
        await worker.exit_status()
    other.close()
