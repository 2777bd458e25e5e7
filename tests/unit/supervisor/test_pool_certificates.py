"""Certificates on their way to real workers: hundreds at a time, confirmed, and never waiting for the dead."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from proxy.config.schema import Config
from proxy.control.channel import pack
from proxy.control.messages import Configure, SetCertificate
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.processes import Children
from proxy.supervisor.worker_process import Briefing
from proxy.telemetry.totals import CounterLedger

HUNDREDS = tuple(pack(SetCertificate(f"{number}.test", b"chain" * 900, b"key")) for number in range(700))


class SharedNothing:
    """Implements WorkerRegister for workers that share no memory."""

    def enter(self) -> int:
        return 0

    def leave(self, row: int, *, in_order: bool = True) -> None:
        pass


def briefing() -> Briefing:
    return Briefing(
        configure=pack(Configure(1, Config(), {})),
        listeners=(),
        upstreams=(),
        memory={},
        secret=b"",
        certificates=HUNDREDS,
    )


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    """Return a pool of two workers without traffic that have just been started."""
    children = Children(asyncio.get_running_loop())
    command = (sys.executable, "-m", "tests.fakes.idle_worker", "serve")
    pool = WorkerPool(
        children, CounterLedger(), command, briefing, lambda _last: None, register=SharedNothing()
    )
    pool.resize(2, 10.0)
    yield pool
    await pool.drain(0.0)
    children.close()


async def test_all_are_taken_before_a_worker_serves_and_while_it_does(pool: WorkerPool) -> None:
    async with asyncio.timeout(60):
        await pool.sync(60.0)
        assert pool.serving == 2
        for command in HUNDREDS:
            pool.tell(command)
        await pool.sync(60.0)
        assert pool.serving == 2


async def test_a_worker_that_ends_is_not_waited_for(pool: WorkerPool) -> None:
    async with asyncio.timeout(60):
        await pool.sync(60.0)
        for command in HUNDREDS:
            pool.tell(command)
        for worker in pool.workers:
            worker.kill()
        await pool.sync(60.0)


async def test_patience_with_a_worker_that_does_not_answer_ends(pool: WorkerPool) -> None:
    await pool.sync(60.0)
    silent = pool.workers[0].pid
    os.kill(silent, signal.SIGSTOP)
    try:
        async with asyncio.timeout(60):
            await pool.sync(0.01)
        assert pool.serving == 2
    finally:
        os.kill(silent, signal.SIGCONT)
