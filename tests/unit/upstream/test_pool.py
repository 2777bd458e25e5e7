"""The pool keeps, counts and bounds the connections to one address."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.config.schema import Timeouts
from proxy.deadlines import DeadlineWheel
from proxy.errors import GatewayError
from proxy.telemetry import counters
from proxy.telemetry.counters import COUNTERS_SIZE, WorkerCounters
from proxy.upstream import pool as pool_module
from proxy.upstream.addresses import TargetKey
from proxy.upstream.balancer import Target
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import FRESH, Pool, PoolContext, drop_https_pools

PATIENCE = 60.0
KEEPALIVE = 4.0


class Waiter:
    """Waits for a connection, as a Forward does."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.told: asyncio.Future[UpstreamConnection | GatewayError] = loop.create_future()

    def connected(self, connection: UpstreamConnection) -> None:
        self.told.set_result(connection)

    def not_connected(self, error: GatewayError) -> None:
        self.told.set_result(error)

    async def connection(self) -> UpstreamConnection:
        told = await asyncio.wait_for(self.told, PATIENCE)
        assert isinstance(told, UpstreamConnection), told
        return told

    async def error(self) -> GatewayError:
        told = await asyncio.wait_for(self.told, PATIENCE)
        assert isinstance(told, GatewayError)
        return told


class Bench:
    """A pool in front of a listening socket, and what it has counted."""

    def __init__(self, key: TargetKey | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.words = memoryview(bytearray(COUNTERS_SIZE)).cast("Q")
        self.counters = WorkerCounters(self.words)
        self.listening = socket.create_server(("127.0.0.1", 0))
        port = int(self.listening.getsockname()[1])
        key = key or TargetKey(
            scheme="https" if tls else "http", host="app.test", port=port, address="127.0.0.1"
        )
        loop = asyncio.get_running_loop()
        self.wheel = DeadlineWheel(loop)
        self.pool = Pool(PoolContext(loop, self.wheel, self.counters), key, tls)

    @property
    def open(self) -> int:
        return self.counters.open(counters.UPSTREAM_OPENED, counters.UPSTREAM_CLOSED)

    def ask(self, timeout: float = PATIENCE) -> Waiter:
        waiter = Waiter()
        self.pool.connect(waiter, timeout)
        return waiter

    def take(self, keepalive: float = KEEPALIVE) -> UpstreamConnection | None:
        return self.pool.take(keepalive, self.pool.loop.time())

    async def connection(self) -> UpstreamConnection:
        """Return a fresh connection that may be given back."""
        connection = await self.ask().connection()
        connection.keepalive = KEEPALIVE
        return connection

    async def all_closed(self) -> None:
        """Wait until every connection is gone."""
        async with asyncio.timeout(PATIENCE):
            while self.open:  # noqa: ASYNC110 (a plain number: there is no event to wait for)
                await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.pool.close()
    bench.listening.close()
    await bench.all_closed()
    assert not bench.wheel._filed


async def test_takes_the_one_used_last(bench: Bench) -> None:
    first, second = await bench.connection(), await bench.connection()
    bench.pool.give_back(first)
    bench.pool.give_back(second)
    assert bench.take() is second
    assert second.reused
    assert bench.take(FRESH) is first
    assert bench.take() is None
    for connection in (first, second):
        connection.close()


async def test_takes_none_that_was_idle_for_too_long(bench: Bench) -> None:
    connection = await bench.connection()
    bench.pool.give_back(connection)
    connection.idle_since -= 2.0
    assert bench.take(FRESH) is None
    assert bench.take(1.5) is None
    assert bench.take() is connection
    connection.close()


async def test_a_connection_that_closes_leaves_the_pool(bench: Bench) -> None:
    connection = await bench.connection()
    bench.pool.give_back(connection)
    bench.listening.accept()[0].close()
    await bench.all_closed()
    assert bench.take() is None


@pytest.mark.sources
async def test_keeps_only_so_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_IDLE", 1)
    first, second = await bench.connection(), await bench.connection()
    bench.pool.give_back(first)
    bench.pool.give_back(second)
    assert not second.is_usable()
    assert bench.take() is first
    first.close()


@pytest.mark.sources
async def test_who_waits_in_line_gets_what_is_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_CONNECTIONS", 1)
    only = await bench.connection()
    first, second = bench.ask(), bench.ask()
    assert bench.open == 1
    bench.pool.give_back(only)
    assert await first.connection() is only
    assert only.reused
    assert not second.told.done()
    bench.pool.give_back(only)
    assert await second.connection() is only
    only.close()


async def test_who_waits_in_line_connects_when_one_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_CONNECTIONS", 1)
    only = await bench.connection()
    waiter = bench.ask()
    only.close()
    connection = await waiter.connection()
    assert connection is not only
    connection.close()


@pytest.mark.sources
async def test_who_waits_in_line_does_not_wait_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_CONNECTIONS", 1)
    only = await bench.connection()
    error = await bench.ask(timeout=0.01).error()
    assert (error.status, error.proxy_status) == (503, "connection_limit_reached")
    bench.pool.give_back(only)
    assert bench.take() is only
    only.close()


@pytest.mark.sources
async def test_who_left_the_line_gets_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_CONNECTIONS", 1)
    only = await bench.connection()
    waiter = Waiter()
    bench.pool.connect(waiter, PATIENCE).cancel()
    second = bench.ask()
    bench.pool.give_back(only)
    assert await second.connection() is only
    assert not waiter.told.done()
    only.close()


async def test_an_attempt_that_fails_lets_the_next_in_line_try(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_CONNECTIONS", 1)
    bench.listening.close()
    first, second, third = bench.ask(), bench.ask(), bench.ask()
    for waiter in (first, second, third):
        assert (await waiter.error()).kind == "refused"


async def test_a_cancelled_attempt_leaves_no_connection_behind(bench: Bench) -> None:
    waiter = Waiter()
    attempt = bench.pool.connect(waiter, PATIENCE)
    await asyncio.sleep(0)
    attempt.cancel()
    await bench.all_closed()
    assert not waiter.told.done()
    assert bench.take() is None


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancel_at_any_moment_loses_no_connection(bench: Bench, turns: int) -> None:
    attempt = bench.pool.connect(Waiter(), PATIENCE)
    for _ in range(turns):
        await asyncio.sleep(0)
    if attempt.waiter is None or not isinstance(attempt.waiter, Waiter):
        return
    told = attempt.waiter.told
    attempt.cancel()
    if told.done():
        (await attempt_connection(told)).close()
    task = attempt.task
    assert task is not None
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert not bench.pool._opening


async def attempt_connection(told: "asyncio.Future[UpstreamConnection | GatewayError]") -> UpstreamConnection:
    """Return the connection that an attempt has brought."""
    connection = await told
    assert isinstance(connection, UpstreamConnection)
    return connection


async def test_an_app_that_talks_before_it_is_asked_is_no_app(bench: Bench) -> None:
    async with asyncio.timeout(PATIENCE):

        async def chat() -> None:
            app, _ = await asyncio.to_thread(bench.listening.accept)
            with app:
                app.sendall(b"220 who are you?\r\n")

        chatting = asyncio.create_task(chat())
        waiter = bench.ask()
        told = await waiter.told
        await chatting
    if isinstance(told, UpstreamConnection):  # the greeting came a moment later
        await bench.all_closed()
        assert not told.is_usable()
    else:
        assert told.kind == "refused"


async def test_a_refused_connection_may_be_tried_elsewhere(bench: Bench) -> None:
    bench.listening.close()
    error = await bench.ask().error()
    assert (error.kind, error.status, error.try_next) == ("refused", 502, True)
    assert "ECONNREFUSED" in str(error)


async def test_a_missing_unix_socket_is_a_refusal(tmp_path: Path) -> None:
    bench = Bench(TargetKey(scheme="unix", host="", port=0, path=str(tmp_path / "app.sock")))
    error = await bench.ask().error()
    assert (error.kind, "ENOENT" in str(error)) == ("refused", True)
    bench.listening.close()


async def test_an_app_without_tls_behind_https_is_a_tls_failure() -> None:
    bench = Bench(tls=ssl.create_default_context())
    waiter = bench.ask()
    app, _ = await asyncio.to_thread(bench.listening.accept)
    app.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    error = await waiter.error()
    assert (error.kind, error.status, error.try_next) == ("tls", 502, True)
    app.close()
    bench.listening.close()
    await bench.all_closed()


async def test_no_connection_in_time(bench: Bench) -> None:
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        port = int(silent.getsockname()[1])
        slow = Bench(TargetKey(scheme="http", host="app.test", port=port, address="127.0.0.1"))
        error = await slow.ask(timeout=0.05).error()
        assert (error.kind, error.status) == ("connect-timeout", 504)
        slow.listening.close()


async def test_labels_name_the_address() -> None:
    for key, label in (
        (TargetKey(scheme="http", host="app", port=80, address="192.0.2.1"), "192.0.2.1:80"),
        (TargetKey(scheme="http", host="app", port=80, address="2001:db8::1"), "[2001:db8::1]:80"),
        (TargetKey(scheme="unix", host="", port=0, path="/run/app.sock"), "unix:/run/app.sock"),
    ):
        bench = Bench(key)
        assert bench.pool.label == label
        bench.listening.close()


def test_timeouts_are_those_of_the_contract() -> None:
    assert Timeouts().keepalive_upstream == KEEPALIVE
    assert pool_module.FRESH == 1.0


async def test_after_a_reload_https_is_connected_anew_under_the_ca_files_as_they_are(bench: Bench) -> None:
    kept = await bench.connection()
    bench.pool.give_back(kept)
    targets = []
    for scheme in ("http", "https"):
        target = Target(TargetKey(scheme=scheme, host="app.test", port=1, address="127.0.0.1"))
        target.pool = bench.pool
        targets.append(target)
    drop_https_pools(targets[:1])
    assert (targets[0].pool, kept.is_usable()) == (bench.pool, True)
    drop_https_pools(targets)
    assert [target.pool for target in targets] == [bench.pool, None]
    await bench.all_closed()
