"""The data plane in the test's own event loop, on loopback sockets, with all of its books in reach."""

import asyncio
import gc
import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Self

from proxy.caching.store import Store
from proxy.config.loader import parse
from proxy.config.schema import Config
from proxy.data_plane import DataPlane, WorkerContext
from proxy.downstream.connection import ClientConnection
from proxy.exchange import Exchange
from proxy.telemetry import counters
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.counters import COUNTERS_SIZE, PROCESS_WORDS, SITE_WORDS, STATUS_LABELS, WorkerCounters
from proxy.traffic.limiter_table import LimiterTable
from proxy.traffic.top_clients import LimitedClient
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.forward import Forward
from proxy.upstream.pool import Pool

PATIENCE: Final = 60.0  # seconds
SECRET: Final = bytes(range(32))
INSTANCE: Final = "0123456789abcdef"
#: One request each; a test whose gateway is gone must find none of them alive.
PER_REQUEST: Final = (ClientConnection, Exchange, Forward, UpstreamConnection)
_BLOCKS: Final = {"a.test": 1, "*": 2}

_TABLES: Final = {
    "server": 'http = ["127.0.0.1:0"]\nhttps = []\nmetrics = ""\nworkers = 1',
    "tls": 'mode = "off"',
    "log": 'access = "off"',
    "rate_limit": 'rate = "off"',
    "cache": 'ttl = "1h"\nwait = "1h"',
}


def configuration(site: str, **tables: str) -> Config:
    """Build a configuration around a [[site]] table; `tables` are added to what a quiet gateway needs."""
    texts = {name: f"{_TABLES.get(name, '')}\n{tables.get(name, '')}" for name in {**_TABLES, **tables}}
    text = "".join(f"[{name}]\n{body}\n" for name, body in texts.items()) + f"[[site]]\n{site}\n"
    return parse(text.encode(), path="/nowhere/proxy.toml", environ={})


class Lines:
    """A sink of access-log lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class Gateway:
    """A data plane that listens on a free port; `settled` says what it has left behind when all peers are gone."""

    def __init__(self, config: Config, *, cached: bool = False) -> None:
        self.config = config
        self.store = Store.create(1 << 22, SECRET) if cached else None
        self.sink = Lines()
        self.faults: list[str] = []
        self.words = memoryview(bytearray(COUNTERS_SIZE)).cast("Q")
        self.counters = WorkerCounters(self.words)
        self._loop = asyncio.get_running_loop()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listening.getsockname()[1])
        self.limiter = LimiterTable.create(SECRET, slots=1 << 10)
        self.told_limited: list[Sequence[LimitedClient]] = []
        context = WorkerContext(
            counters=self.counters,
            limiter=self.limiter,
            limiter_key=self.limiter.key,
            most_limited=self.told_limited.append,
            instance=INSTANCE,
            cache=self.store,
            cache_secret=SECRET if cached else b"",
            site_blocks=_BLOCKS,
        )
        self.plane = DataPlane(self._loop, config, context)
        self._log_to_sink()

    def keep_little(self) -> None:
        """Let the system keep little of what clients do not read yet, so that it is soon felt here."""
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)

    async def __aenter__(self) -> Self:
        self._loop.set_exception_handler(self._note)
        await self.plane.open_listener(self._listening, tls=False, port=self.port)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.plane.stop_accepting()
        await self.plane.drain(0.0)
        await until(lambda: self.open == {})
        if self.store is not None:
            self.store.leave()
        self.limiter.close()

    def _note(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _log_to_sink(self) -> None:
        log = self.config.log
        access_log = AccessLog(self.sink, combined=log.format == "combined", redact_query=log.redact_query)
        self.plane._pipeline.use_log(access_log)

    def apply(self, config: Config) -> None:
        """Reload."""
        self.config = config
        self.plane.apply(config, _BLOCKS)
        self._log_to_sink()

    # --- its books

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the access log's lines, which must be JSON."""
        return [json.loads(line) for line in self.sink.lines]

    @property
    def open(self) -> dict[str, int]:
        """Count the connections that are open, by kind; kinds without any are left out."""
        count = self.counters.open
        pairs = {
            "clients": count(counters.HTTP_OPENED, counters.HTTP_CLOSED),
            "tunnels": count(counters.UPGRADED_OPENED, counters.UPGRADED_CLOSED),
            "apps": count(counters.UPSTREAM_OPENED, counters.UPSTREAM_CLOSED),
        }
        return {name: number for name, number in pairs.items() if number}

    @property
    def in_flight(self) -> int:
        """Count the requests that targets are held to work on."""
        return sum(target.in_flight for target in self.plane._directory.targets())

    @property
    def requests(self) -> int:
        """Count the requests that the counters know of."""
        width = len(STATUS_LABELS) * len(counters.CACHE_OUTCOMES)
        bases = (PROCESS_WORDS + block * SITE_WORDS for block in (0, *_BLOCKS.values()))
        return sum(sum(self.words[base : base + width]) for base in bases)

    def told(self, counter: int) -> int:
        """Return one of the process's counters."""
        return int(self.words[counter])

    def told_of_site(self, word: int) -> int:
        """Return a word of the sites' counters, added up."""
        return sum(int(self.words[PROCESS_WORDS + block * SITE_WORDS + word]) for block in _BLOCKS.values())

    async def leftovers(self) -> list[str]:
        """Say what is still there although all peers are gone; tests assert that this is nothing."""
        await until(lambda: "clients" not in self.open)
        self.plane.stop_accepting()
        deaf = 0
        for target in self.plane._directory.targets():
            if isinstance(target.pool, Pool):
                deaf += sum(not connection._transport.is_reading() for connection in target.pool._idle)
                target.pool.close()
        await until(lambda: self.open == {})
        found = [f"unhandled: {fault}" for fault in self.faults]
        if deaf:
            found.append(f"{deaf} idle connections to apps that are not read")
        if self.in_flight:
            found.append(f"{self.in_flight} in flight")
        if self.plane._wheel._filed:
            found.append(f"deadlines {self.plane._wheel._filed}")
        if self.requests != len(self.sink.lines):
            found.append(f"{self.requests} requests counted, {len(self.sink.lines)} logged")
        return found


async def until(predicate: Callable[[], object]) -> None:
    """Turn the loop until something is so, which it becomes by what other tasks and transports do."""
    patience = time.monotonic() + PATIENCE  # the loop's own clock may be ahead
    while not predicate():
        if time.monotonic() > patience:
            raise TimeoutError("what was waited for has not come")
        await asyncio.sleep(0)


def alive(kinds: Iterable[type] = PER_REQUEST) -> dict[str, int]:
    """Count the living objects of these kinds; the collector must not have run, or cycles go unnoticed."""
    wanted = tuple(kinds)
    found: dict[str, int] = {}
    for thing in gc.get_objects():
        if type(thing) in wanted:
            found[type(thing).__name__] = found.get(type(thing).__name__, 0) + 1
    return found
