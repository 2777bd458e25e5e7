"""A thousand clients of one slow page, and leaders that are killed while others wait for what they fetch.

    python -m tests.campaigns.cache_crowds [SECONDS] [CLIENTS] [DEATHS]

Two workers stand in front of a page that takes a second. First all clients ask for it at once, and again and again
for a while: the app may see one request for each 3 s. Then a worker that fetches the page is killed while
clients of the other one wait for it, again and again: how long does it take until the app is asked anew?
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import uvloop

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin
from tests.fakes.pipelined_client import PipelinedClient
from tests.fakes.two_workers import TwoWorkers

SLOWNESS = 1.0
TTL = 3.0
WAITERS = 8
#: A supervisor starts workers that die again and again ever more slowly.
DEATHS_IN_A_ROW = 5
_TABLES = '[rate_limit]\nrate = "off"\n[limits]\nconnections_per_ip = 20000\n[cache]\nwait = "30s"\n'
_ASK = b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n"


@dataclass(slots=True)
class Crowd:
    """What clients and app saw."""

    asked: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    longest: float = 0.0

    @property
    def shortest_gap(self) -> float:
        """Return the shortest time between two requests to the app, in seconds."""
        return min((later - earlier for earlier, later in pairwise(self.asked)), default=float("inf"))


async def crowd(address: tuple[str, int], clients: int, seconds: float, seen: Crowd) -> None:
    """Let so many clients ask for so long."""
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        rest = random.Random(number)
        connection = await PipelinedClient.connect(address)
        while time.monotonic() < end:
            began = time.monotonic()
            answer = (await connection.ask([_ASK]))[0]
            seen.longest = max(seen.longest, time.monotonic() - began)
            seen.outcomes[answer.outcome] += 1
            seen.wrong += (answer.status, answer.content) != (200, b"slow page")
            await asyncio.sleep(0.5 + rest.random())
        connection.close()

    await asyncio.gather(*[client(number) for number in range(clients)])


def crowded(folder: Path, clients: int, seconds: float) -> Crowd:
    """Run the first part."""
    seen = Crowd()

    async def answer(request: OriginRequest) -> OriginResponse:
        seen.asked.append(time.monotonic())
        await asyncio.sleep(SLOWNESS)
        return OriginResponse(content=b"slow page")

    with running_origin(answer) as origin:
        front = Foregate(folder, configuration(origin.url, tables=_TABLES))
        try:
            front.wait_serving(2)
            uvloop.run(crowd(front.address("http"), clients, seconds, seen))
        finally:
            front.close()
    return seen


def bereaved(deaths: int) -> list[float]:
    """Run the second part; return how long it took each time, in seconds."""
    took: list[float] = []
    while len(took) < deaths:
        with tempfile.TemporaryDirectory() as folder, running_origin() as origin:
            front = Foregate(Path(folder), configuration(origin.url, tables=_TABLES))
            try:
                workers = TwoWorkers(front)
                for number in range(DEATHS_IN_A_ROW):
                    took.append(_death(workers, origin, f"/{number}"))
                    front.wait("worker serves", 3 + number)
            finally:
                front.close()
    return took


def _death(workers: TwoWorkers, origin: Origin, path: str) -> float:
    """Kill a leader for whom clients of the other worker wait; return the seconds until the app is asked again."""
    release = asyncio.Event()
    arrivals: list[float] = []

    def answer(request: OriginRequest) -> OriginResponse:
        arrivals.append(time.monotonic())
        return OriginResponse(content=b"page", wait=release)

    origin.answer = answer
    origin.requests.clear()
    with workers.only(0) as pid:
        lost = workers.ask(path)
        origin.wait_for_requests(1)
    with workers.only(1):
        waiting = [workers.ask(path) for _ in range(WAITERS)]
        workers.wait_for_connections(WAITERS + 1)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        origin.wait_for_requests(2)
    origin.release(release)
    for connection in waiting:
        _expect_page(connection)
    lost.close()
    assert len(arrivals) == 2, arrivals
    return arrivals[1] - killed


def _expect_page(connection: HTTPConnection) -> None:
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"page")
    connection.close()


def main() -> None:
    """Run both parts and print what happened."""
    numbers = [int(argument) for argument in sys.argv[1:]]
    seconds, clients, deaths = [*numbers, *(60, 1000, 50)[len(numbers) :]]
    with tempfile.TemporaryDirectory() as folder:
        seen = crowded(Path(folder), clients, seconds)
    total = seen.outcomes.total()
    print(f"crowd: {clients} clients, {seconds} s, {total} answers, {seen.wrong} wrong; ", end="")
    print(", ".join(f"{name} {number}" for name, number in seen.outcomes.most_common()))
    print(f"  the app was asked {len(seen.asked)} times, at least {seen.shortest_gap:.2f} s apart;", end=" ")
    print(f"the slowest answer took {seen.longest:.2f} s")
    took = sorted(bereaved(deaths))
    print(
        f"deaths: {len(took)} leaders killed; asked again after {took[len(took) // 2] * 1e3:.1f} ms in the median,"
    )
    print(f"  {took[-1] * 1e3:.1f} ms at most; within 100 ms {sum(t < 0.1 for t in took)} times")
    sys.exit(1 if seen.wrong or seen.shortest_gap < TTL or took[-1] >= 0.1 else 0)


if __name__ == "__main__":
    main()
