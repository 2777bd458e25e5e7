"""Race connection attempts to several addresses (RFC 8305 section 5)."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

STAGGER = 0.25  # seconds; the Connection Attempt Delay that RFC 8305 section 8 recommends

Candidate = TypeVar("Candidate")
Connection = TypeVar("Connection")


async def connect_first(
    candidates: Sequence[Candidate],
    connect: Callable[[Candidate], Coroutine[Any, Any, Connection]],
    discard: Callable[[Connection], object],
    *,
    stagger: float = STAGGER,
) -> tuple[Candidate, Connection]:
    """Connect to the first of `candidates` that answers; return it and the connection.

    The next attempt starts when one fails, or `stagger` seconds after the last one began. Attempts that
    lose are cancelled, and a connection that one of them made all the same goes to `discard`. The caller
    sets the deadline. Raises the first candidate's error when all fail.
    """
    if len(candidates) == 1:
        return candidates[0], await connect(candidates[0])
    waiting = list(reversed(candidates))
    running: dict[asyncio.Task[Connection], Candidate] = {}
    faults: list[tuple[int, BaseException]] = []
    try:
        while waiting or running:
            if waiting:
                candidate = waiting.pop()
                running[asyncio.create_task(connect(candidate))] = candidate
            done, _ = await asyncio.wait(
                running, timeout=stagger if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                fault = task.exception()
                if fault is None:
                    return running.pop(task), task.result()
                faults.append((candidates.index(running.pop(task)), fault))
    finally:
        for task in running:
            _abandon(task, discard)
    raise min(faults, key=lambda fault: fault[0])[1]


def _abandon(task: asyncio.Task[Connection], discard: Callable[[Connection], object]) -> None:
    def ended(task: asyncio.Task[Connection]) -> None:
        if not task.cancelled() and task.exception() is None:
            discard(task.result())

    task.cancel()
    task.add_done_callback(ended)
