"""The pool keeps its slots filled: workers here are real processes without traffic, the clock is the test's."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from proxy.config.schema import Config
from proxy.control.channel import pack
from proxy.control.messages import Command, Configure, ReopenLogs, SwapCaches
from proxy.supervisor import pool as pool_module
from proxy.supervisor.heartbeat import INTERVAL
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.processes import Children, Exit
from proxy.supervisor.worker_process import Briefing, ExitReason, WorkerProcess, WorkerState
from proxy.telemetry.totals import CounterLedger

CONFIGURE = pack(Configure(1, Config(), {}))


class WatchedPool(WorkerPool):
    """A pool that sets an event whenever something happens to a worker."""

    happened: asyncio.Event

    def worker_ready(self, worker: WorkerProcess) -> None:
        super().worker_ready(worker)
        self.happened.set()

    def worker_exited(self, worker: WorkerProcess, ended: Exit) -> None:
        super().worker_exited(worker, ended)
        self.happened.set()


class Register:
    """Rows in the order in which they were given and taken back."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.entered = 0

    def enter(self) -> int:
        self.entered += 1
        self.rows.add(self.entered)
        return self.entered

    def leave(self, row: int, *, in_order: bool = True) -> None:
        self.rows.remove(row)


@dataclass
class Ticking:
    """A pool, and the hand that turns its clock."""

    children: Children
    ledger: CounterLedger = field(default_factory=CounterLedger)
    register: Register = field(default_factory=Register)
    now: float = 1000.0
    hopeless: list[str] = field(default_factory=list)
    generation: int = 1
    pool: WatchedPool = field(init=False)

    def use(self, mode: str, workers: int) -> None:
        """Start workers that behave in one way."""
        command = (sys.executable, "-m", "tests.fakes.idle_worker", mode)
        self.pool = WatchedPool(
            self.children,
            self.ledger,
            command,
            self.briefing,
            self.hopeless.append,
            lambda: self.now,
            register=self.register,
        )
        self.pool.happened = asyncio.Event()
        self.pool.resize(workers, 10.0)

    def briefing(self) -> Briefing:
        return Briefing(configure=CONFIGURE, listeners=(), upstreams=(), memory={}, secret=b"")

    def tick(self, seconds: float = INTERVAL) -> None:
        self.now += seconds
        self.pool.tick()

    async def apply(self) -> str:
        """Send a snapshot; whatever was asked of a worker before is answered before this is."""
        self.generation += 1
        return await self.pool.apply(self.generation, pack(Configure(self.generation, Config(), {})), 60.0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what happened to the workers has made something true."""
        async with asyncio.timeout(60):
            while not condition():
                self.pool.happened.clear()
                await self.pool.happened.wait()

    async def serving(self, count: int) -> None:
        await self.until(lambda: self.pool.serving == count)


@pytest.fixture
async def ticking() -> AsyncIterator[Ticking]:
    children = Children(asyncio.get_running_loop())
    ticking = Ticking(children)
    yield ticking
    draining = asyncio.create_task(ticking.pool.drain(0.0))
    await asyncio.sleep(0)
    for worker in ticking.pool.lingering:
        worker.kill()
    async with asyncio.timeout(60):
        await draining
    children.close()


async def test_a_worker_that_answers_lives_on(ticking: Ticking) -> None:
    ticking.use("serve", 2)
    await ticking.serving(2)
    pids = [worker.pid for worker in ticking.pool.workers]
    for _ in range(20):
        ticking.tick()
        assert await ticking.apply() == ""
    assert [worker.pid for worker in ticking.pool.workers] == pids


async def test_a_worker_that_hangs_is_replaced(ticking: Ticking) -> None:
    ticking.use("serve", 1)
    await ticking.serving(1)
    (hung,) = ticking.pool.workers
    os.kill(hung.pid, signal.SIGSTOP)
    for _ in range(7):
        ticking.tick()
    await ticking.until(lambda: ticking.pool.exits[ExitReason.UNRESPONSIVE] == 1)
    await ticking.serving(1)
    assert ticking.pool.workers[0].pid != hung.pid


async def test_a_supervisor_that_was_late_blames_nobody(ticking: Ticking) -> None:
    ticking.use("serve", 1)
    await ticking.serving(1)
    (worker,) = ticking.pool.workers
    ticking.tick()
    ticking.tick(3600.0)
    assert await ticking.apply() == ""
    ticking.tick()
    assert ticking.pool.workers == [worker]
    assert not ticking.pool.exits


async def test_a_worker_that_never_gets_ready_is_killed(ticking: Ticking) -> None:
    ticking.use("mute", 1)
    for _ in range(14):
        ticking.tick()
    assert not ticking.pool.exits
    for _ in range(2):
        ticking.tick()
    await ticking.until(lambda: ticking.pool.exits[ExitReason.NOT_READY] == 1)


async def test_a_worker_that_breaks_the_rules_is_killed(ticking: Ticking) -> None:
    ticking.use("babble", 1)
    await ticking.until(lambda: ticking.pool.exits[ExitReason.FAULTY] == 1)


async def test_of_many_workers_only_a_few_start_at_once(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STARTS_AT_ONCE", 2)
    ticking.use("serve", 5)
    assert ticking.pool.states()[WorkerState.STARTING] == 2
    most = 0

    def all_serve() -> bool:
        nonlocal most
        most = max(most, ticking.pool.states()[WorkerState.STARTING])
        return ticking.pool.serving == 5

    await ticking.until(all_serve)
    assert most == 2
    assert [worker.slot for worker in ticking.pool.workers] == [0, 1, 2, 3, 4]


async def test_no_worker_starts_any_more_when_a_drain_has_begun(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STARTS_AT_ONCE", 2)
    ticking.use("serve", 500)
    async with asyncio.timeout(60):
        await ticking.pool.drain(0.0)
    assert ticking.pool.exits == {ExitReason.DRAINED: 2}
    assert ticking.register.entered == 2


async def test_who_is_hurried_and_was_not_ready_is_killed_at_once(ticking: Ticking) -> None:
    ticking.use("mute", 2)
    draining = asyncio.create_task(ticking.pool.drain(3600.0))
    await asyncio.sleep(0)
    ticking.pool.hurry()
    async with asyncio.timeout(60):
        await draining
    assert ticking.pool.exits == {ExitReason.DRAINED: 2}


async def test_workers_that_are_never_ready_are_given_up(ticking: Ticking) -> None:
    ticking.use("no such mode", 2)
    await ticking.until(lambda: bool(ticking.hopeless))
    assert ticking.hopeless == ["exit status 0"]
    assert ticking.pool.exits == {ExitReason.NOT_READY: 5}


async def test_a_snapshot_that_one_worker_refuses(ticking: Ticking) -> None:
    ticking.use("refuse", 1)
    await ticking.serving(1)
    assert await ticking.apply() == "OSError: no such log"


async def test_a_snapshot_that_all_workers_use(ticking: Ticking) -> None:
    ticking.use("serve", 2)
    await ticking.serving(2)
    assert await ticking.apply() == ""


async def test_a_snapshot_does_not_wait_for_a_worker_that_dies(ticking: Ticking) -> None:
    ticking.use("serve", 1)
    await ticking.serving(1)
    (worker,) = ticking.pool.workers
    os.kill(worker.pid, signal.SIGSTOP)
    applying = asyncio.create_task(ticking.apply())
    await asyncio.sleep(0)
    worker.kill()
    assert await applying == ""


async def test_who_does_not_do_what_all_have_to_do_is_killed(ticking: Ticking) -> None:
    ticking.use("serve", 2)
    await ticking.serving(2)
    await ticking.pool.carry_out(SwapCaches(), (), 30.0)
    assert not ticking.pool.exits
    hung, _ = ticking.pool.workers
    os.kill(hung.pid, signal.SIGSTOP)
    await ticking.pool.carry_out(SwapCaches(), (), 0.2)
    await ticking.until(lambda: ticking.pool.exits[ExitReason.UNRESPONSIVE] == 1)
    await ticking.serving(2)


async def test_a_drained_worker_leaves_its_slot_at_once_and_is_killed_after_its_time(
    ticking: Ticking,
) -> None:
    ticking.use("serve", 2)
    await ticking.serving(2)
    ticking.pool.resize(1, linger=6.0)
    assert ticking.pool.states() == {
        WorkerState.STARTING: 0,
        WorkerState.SERVING: 1,
        WorkerState.DRAINING: 1,
    }
    for _ in range(4):
        ticking.tick()
    assert len(ticking.pool.lingering) == 1
    ticking.tick()
    await ticking.until(lambda: ticking.pool.exits[ExitReason.DRAINED] == 1)
    assert ticking.pool.lingering == []
    assert ticking.pool.serving == 1


async def test_all_open_their_logs_anew_those_too_that_only_finish_what_they_have(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking.use("serve", 2)
    await ticking.serving(2)
    ticking.pool.resize(1, linger=60.0)
    told: list[Command] = []
    for worker in (*ticking.pool.workers, *ticking.pool.lingering):
        monkeypatch.setattr(worker, "send", told.append)
    ticking.pool.reopen_logs()
    assert told == [ReopenLogs(), ReopenLogs()]


async def test_a_worker_whose_end_is_seen_before_its_leave_has_left_all_the_same(ticking: Ticking) -> None:
    ticking.use("serve", 1)
    await ticking.serving(1)
    (worker,) = ticking.pool.workers
    os.kill(worker.pid, signal.SIGTERM)
    select.select([worker.channel_descriptor or -1], [], [])  # it has said so, and nobody has read it
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 (nothing is read meanwhile)
    ticking.children.reap()
    assert ticking.pool.exits == {ExitReason.DRAINED: 1}


async def test_what_an_ended_worker_used_is_kept(ticking: Ticking) -> None:
    ticking.use("serve", 1)
    await ticking.serving(1)
    ticking.pool.workers[0].kill()
    await ticking.until(lambda: ticking.pool.exits[ExitReason.CRASHED] == 1)
    assert ticking.pool.ended_cpu_seconds > 0
