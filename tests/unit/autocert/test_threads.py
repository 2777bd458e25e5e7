"""Calls beside the loop end in time for the caller, whatever they do."""

import asyncio
import threading
from contextlib import suppress

import pytest

from autocert.threads import LeftBehindError, Threads


async def test_results_and_errors_come_back() -> None:
    runner = Threads()
    assert await runner.run(lambda: 7, 5) == 7

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await runner.run(fail, 5)


async def test_the_call_s_own_timeout_is_the_call_s_own() -> None:
    def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await Threads().run(fail, 60)


async def test_a_hanging_call_is_left_behind() -> None:
    let_go = threading.Event()
    with pytest.raises(LeftBehindError):
        await Threads().run(lambda: let_go.wait(30), 0.01)
    let_go.set()


async def test_after_too_many_hanging_calls_no_more_are_made_until_one_ends() -> None:
    runner, let_go = Threads(), threading.Event()
    calls = [asyncio.create_task(runner.run(lambda: let_go.wait(30), 0.01)) for _ in range(32)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, LeftBehindError) for outcome in outcomes)
    with pytest.raises(LeftBehindError, match="too many"):
        await runner.run(lambda: 1, 60)
    let_go.set()
    outcome = None
    while outcome is None:
        with suppress(LeftBehindError):
            outcome = await runner.run(lambda: 1, 60)
        await asyncio.sleep(0)
    assert outcome == 1


async def test_a_cancelled_caller_leaves_the_call_to_itself() -> None:
    runner, started, let_go = Threads(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(started.set)
        let_go.wait(30)
        raise ValueError("nobody hears this")

    task = asyncio.create_task(runner.run(call, 30))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_go.set()
    assert await runner.run(lambda: 1, 60) == 1


def test_a_call_that_ends_after_the_loop_harms_nobody() -> None:
    let_go, runner = threading.Event(), Threads()

    async def main() -> None:
        with pytest.raises(LeftBehindError):
            await runner.run(lambda: let_go.wait(30), 0.01)

    asyncio.run(main())
    let_go.set()
