"""Reload, kill and upgrade an instance under load: nobody but a killed worker's clients may notice.

`python -m tests.campaigns.operations [RELOADS] [KILLS] [UPGRADES]` (50, 20 and 5 by default); the suite runs a short
form. Beside the load (wrk, and clients that keep or open connections) a WebSocket talks and a long download goes on
through reloads and upgrades. Passes when no request failed while nothing was killed, when kills failed at most the
requests that were in flight (one for each connection and kill) and refused nobody, and when no counter went back.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.load import Load
from tests.fakes.origin import Origin, OriginResponse
from tests.fakes.wrk import Wrk

CLIENTS: Final = 4  # half of them keep their connection
_BUSY: Final = 8  # connections of wrk
_TTLS: Final = ("1s", "2s")
_SIZES: Final = ("64MB", "16MB")
_TABLES: Final = """[rate_limit]
rate = "off"
[cache]
ttl = "{ttl}"
size = "{size}"
grace = "0s"
[timeouts]
idle = "70s"
"""
_LENGTH: Final = 24 * 1024 * 1024
_PIECE: Final = 4096
_STEADY: Final = 11.0  # seconds after which a worker's end is an accident, and it is replaced at once
_NEVER: Final = ("Refused", "HTTP", "wrk connect", "wrk status", "wrk timeout")
_PAUSE: Final = 0.05  # seconds between two pieces

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass
class Outcome:
    """What happened; everything but `answers` has to be empty, and `killed` short."""

    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    went_back: list[str] = field(default_factory=list)
    lasting: list[str] = field(default_factory=list)
    kills: int = 0
    clients: int = 0

    @property
    def passed(self) -> bool:
        """Tell whether only what a kill may cost was lost."""
        refused = [what for what in self.killed if any(word in what for word in _NEVER)]
        few = sum(self.killed.values()) <= self.kills * self.clients
        return not (self.failures or self.went_back or self.lasting or refused) and few


class Campaign:
    """One instance with its load."""

    def __init__(self, gate: Foregate, url: str, tunnel: str) -> None:
        self._gate = gate
        self._port = gate.port  # of the listener that stays
        self._url = url
        self._tunnel = tunnel
        self._counters: Counters = {}
        self._hurry = asyncio.Event()
        self.outcome = Outcome()

    async def run(self, reloads: int, kills: int, upgrades: int, *, busy: int) -> Outcome:
        """Do everything under load; kills come last, because they may end the lasting connections.

        `busy` is how many connections wrk keeps as busy as it can, beside the clients that wait for each other.
        """
        outcome = self.outcome
        async with self._under_load(busy, outcome.failures):
            await self._change(reloads, upgrades)
        if kills:
            async with self._under_load(busy, outcome.killed):
                for number in range(kills):
                    await asyncio.sleep(_STEADY if number else 0)
                    await self._kill(number)
                    await self._look(None)
        outcome.kills, outcome.clients = kills, CLIENTS + busy
        return outcome

    @asynccontextmanager
    async def _under_load(self, busy: int, failures: Counter[str]) -> AsyncIterator[None]:
        load = Load(self._port)
        clients = asyncio.create_task(load.run(keeping=CLIENTS // 2, opening=CLIENTS // 2))
        async with AsyncExitStack() as stack:
            wrk = Wrk(f"http://127.0.0.1:{self._port}/", busy)
            if busy:
                await stack.enter_async_context(wrk)
            yield
        load.finished = True
        await clients
        self.outcome.answers += load.answers + wrk.answers
        failures.update(load.failures + wrk.failures)

    async def _change(self, reloads: int, upgrades: int) -> None:
        outcome = self.outcome
        uri = f"ws://127.0.0.1:{self._port}/tunnel/"
        async with connect(uri, proxy=None) as tunnel:
            download = asyncio.create_task(self._download())
            for number in range(reloads):
                await self._reload(number)
                await self._look(tunnel)
            for _ in range(upgrades):
                done = await asyncio.to_thread(self._gate.command, "upgrade")
                if done.returncode:
                    outcome.lasting.append(f"upgrade: {done.stderr}")
                await self._look(tunnel)
            self._hurry.set()
            received = await download
        if received != _LENGTH:
            outcome.lasting.append(f"the download ended after {received} octets")

    def text(self, number: int) -> str:
        """Return a configuration that differs from the one before."""
        return text_of(self._url, self._tunnel, number)

    async def _reload(self, number: int) -> None:
        self._gate.file.write_text(self.text(number + 1))
        done = await asyncio.to_thread(self._gate.admin, "POST", "/api/v1/reload")
        if done[0] != 200 or not done[1]["changes"]:
            self.outcome.lasting.append(f"reload: {done}")

    async def _kill(self, number: int) -> None:
        before = len(self._gate.events("worker serves"))
        workers = await asyncio.to_thread(self._gate.worker_pids)
        os.kill(workers[number % len(workers)], signal.SIGKILL)
        await asyncio.to_thread(self._gate.wait, "worker serves", before + 1)

    async def _look(self, tunnel: ClientConnection | None) -> None:
        """Compare the counters with those before, and talk through the tunnel."""
        now = await asyncio.to_thread(self._gate.metrics)
        counters = {
            key: value for key, value in now.items() if key[0].endswith(("_total", "_bucket", "_count"))
        }
        self.outcome.went_back += [
            str(key) for key, old in self._counters.items() if counters.get(key, -1) < old
        ]
        self._counters = counters
        if tunnel is not None:
            await tunnel.send("still there?")
            if await tunnel.recv() != "still there?":
                self.outcome.lasting.append("the tunnel said something else")

    async def _download(self) -> int:
        """Read slowly until all upgrades are done, then the rest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_PIECE)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while piece := await reader.read(_PIECE):
            received += len(piece)
            if not self._hurry.is_set():
                await asyncio.sleep(_PAUSE)
        writer.close()
        return received


def text_of(url: str, tunnel: str, number: int) -> str:
    """Write a configuration; every number changes something."""
    tables = _TABLES.format(ttl=_TTLS[number % 2], size=_SIZES[number // 2 % 2])
    route = f'[[site.route]]\npath = "/tunnel/"\nupstream = "{tunnel}"'
    more = number // 4 % 2  # a third worker and a second listener that come and go
    http = ["127.0.0.1:0", "127.0.0.2:0"][: 1 + more]
    return configuration(url, workers=2 + more, tables=tables, site=route, http=http)


async def campaign(folder: Path, reloads: int, kills: int, upgrades: int, *, busy: int) -> Outcome:
    """Start everything, and run it."""

    async def echo(connection: ClientConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with Origin() as origin, serve(echo, "127.0.0.1", 0) as server:  # type: ignore[arg-type]  # it only echoes
        origin.answer = lambda request: (
            OriginResponse(content=bytes(_LENGTH)) if request.target == "/large" else OriginResponse()
        )
        tunnel = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        gate = Foregate(folder, text_of(origin.url, tunnel, 0))
        try:
            await asyncio.to_thread(gate.wait_serving, 2)
            return await Campaign(gate, origin.url, tunnel).run(reloads, kills, upgrades, busy=busy)
        finally:
            await asyncio.to_thread(gate.close)


def main() -> None:
    """Run it with the counts on the command line."""
    counts = [int(argument) for argument in sys.argv[1:]]
    reloads, kills, upgrades = [*counts, *(50, 20, 5)[len(counts) :]]
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(campaign(Path(folder), reloads, kills, upgrades, busy=_BUSY))
    print(outcome)
    sys.exit(0 if outcome.passed else 1)


if __name__ == "__main__":
    main()
