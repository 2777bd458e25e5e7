"""The hot path, one kind of request at a time: what is replayed, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

from bench.quiet import QuietTransport
from bench.replay import Client, Worker
from proxy.http1.body import ChunkedDecoder
from proxy.http1.request import parse_request_fields, parse_request_line
from proxy.http1.response import parse_response_fields, parse_status_line
from proxy.traffic.limiter import TokenBucket
from proxy.traffic.limiter_table import LimiterTable

CONNECTIONS = 16  # that send one request each in every turn of the loop
VARIETY = (
    8192  # different requests where nothing shall be flattered by what was remembered: no memo holds so many
)
BUCKETS = 1024
MAX_FIELDS = 100
HELD_BACK = 10.0  # seconds that all answers of the first requests may take
COMPANY = (
    1.5  # seconds after which refusals are no longer held back for the sake of those who were served before
)
POLL = 0.01
PATIENCE = 200  # turns of the loop for the first requests, which make connections to the app

FIELDS = (
    b"Host: localhost\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Referer: http://localhost/\r\n"
    b"Cookie: session=%08d; theme=dark\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 15:06:13 GMT\r\nContent-Type: text/html\r\n"
    b"Content-Length: 853\r\nConnection: keep-alive\r\n\r\n" + b"x" * 853
)
CHUNKED = b"100\r\n" + b"x" * 256 + b"\r\n" + b"40\r\n" + b"y" * 64 + b"\r\n0\r\n\r\n"

Call = Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of request; `targets` and `clients` are how many different ones take turns.

    `cache` is the X-Cache-Status that the answers must carry, "" for none.
    """

    name: str
    about: str
    site: str = ""
    targets: int = 1
    clients: int = 1
    tls: bool = False
    new_connections: bool = False
    status: int = 200
    cache: str = ""
    workers: int = 1

    def request(self, number: int) -> bytes:
        """Write the request with this number."""
        line = b"GET /small%s HTTP/1.1\r\n" % (b"" if self.targets == 1 else b"/%d" % (number % self.targets))
        last = b"Connection: close\r\n\r\n" if self.new_connections else b"\r\n"
        return line + FIELDS % (number % self.clients) + last


_PASS = 'cache = { ttl = "0s" }'
SCENARIOS = (
    Scenario(name="hit", about="cache hit, http", cache="HIT"),
    Scenario(name="hit-targets", about=f"... {VARIETY} targets", cache="HIT", targets=VARIETY),
    Scenario(name="hit-cookies", about=f"... {VARIETY} cookies", cache="HIT", clients=VARIETY),
    Scenario(name="hit-two-workers", about="... with a second worker", cache="HIT", workers=2),
    Scenario(name="hit-https", about="cache hit, https", cache="HIT", tls=True),
    Scenario(name="pass", about="pass-through, http", site=_PASS),
    Scenario(name="pass-targets", about=f"... {VARIETY} targets", site=_PASS, targets=VARIETY),
    Scenario(name="pass-cookies", about=f"... {VARIETY} cookies", site=_PASS, clients=VARIETY),
    Scenario(name="pass-https", about="pass-through, https", site=_PASS, tls=True),
    Scenario(name="miss", about="never asked before, and stored", targets=1 << 40, cache="MISS"),
    Scenario(name="limited", about="429", site='rate_limit = { rate = "1/h", burst = 1 }', status=429),
    Scenario(name="new-http", about="new connection, one request", site=_PASS, new_connections=True),
    Scenario(
        name="new-https",
        about="... https, the client's side included",
        site=_PASS,
        new_connections=True,
        tls=True,
    ),
)


def scenario_named(name: str) -> Scenario:
    """Find a scenario."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def about(name: str) -> str:
    """Say what a scenario or a function is."""
    return FUNCTIONS[name][0] if name in FUNCTIONS else scenario_named(name).about


class Traffic:
    """A scenario on its way through a worker's data plane."""

    def __init__(self, worker: Worker, scenario: Scenario, *, connections: int = CONNECTIONS) -> None:
        """Prepare with so many connections, of which CONNECTIONS at a time take a turn."""
        self._worker = worker
        self._scenario = scenario
        self._connections = connections
        self._clients: list[Client] = []
        self._in_turn: Iterator[Client] = iter(())
        self._number = 0

    async def start(self) -> None:
        """Connect, ask everything once that shall be asked again, and check the answers."""
        scenario = self._scenario
        if scenario.new_connections:
            await self.run(self.prepare(CONNECTIONS * 4))
            return
        self._clients = [await self._worker.connect(tls=scenario.tls) for _ in range(self._connections)]
        self._in_turn = cycle(self._clients)
        for client in self._clients:
            answer = await self._ask(client)
        if scenario.tls:  # later no more: records that nobody reads make the client lose count
            _check(answer, scenario)
        known = max(scenario.clients, scenario.targets if scenario.cache != "MISS" else 1)
        await self.run(self.prepare(max(known, CONNECTIONS * 20)))
        await self._settle()
        for client in self._clients:
            client.transport.taken()
        if not scenario.tls:
            _check(await self._ask(self._clients[0]), scenario)

    async def _settle(self) -> None:
        """Wait for answers that are held back: refusals, as long as others are there to be served.

        Raises TimeoutError when they do not come.
        """
        if self._worker.requests >= self._number:
            return
        async with asyncio.timeout(HELD_BACK):
            while self._worker.requests < self._number:  # noqa: ASYNC110 - counters in memory wake nobody
                await asyncio.sleep(POLL)
        await asyncio.sleep(COMPANY)

    async def _ask(self, client: Client) -> bytes:
        client.transport.protocol.data_received(client.prepare(self._next()))
        for _ in range(PATIENCE):
            await asyncio.sleep(0)
            self._worker.answer(ANSWER)
            if client.transport.sent:
                break
        return client.answer() if client.transport.sent else b""

    def _next(self) -> bytes:
        self._number += 1
        return self._scenario.request(self._number)

    def prepare(self, count: int) -> list[list[tuple[Call, bytes]]]:
        """Write so many requests, encrypted where need be; each inner list is one turn of the loop."""
        if self._scenario.new_connections:
            call: Call = partial(_visit_securely if self._scenario.tls else _visit, self._worker)
            return [[(call, self._next()) for _ in range(CONNECTIONS)] for _ in range(count // CONNECTIONS)]
        return [
            [
                (client.transport.protocol.data_received, client.prepare(self._next()))
                for client in islice(self._in_turn, CONNECTIONS)
            ]
            for _ in range(count // CONNECTIONS)
        ]

    async def run(self, turns: Sequence[Sequence[tuple[Call, bytes]]]) -> None:
        """Let everything arrive that was prepared; this is what is measured."""
        worker = self._worker
        asked, closed = worker.loop.asked, worker.loop.closed
        for turn in turns:
            for call, octets in turn:
                call(octets)
            while asked:
                worker.answer(ANSWER)
                await asyncio.sleep(0)
            if closed:
                worker.lose_closed()
            await asyncio.sleep(0)


def _visit(worker: Worker, octets: bytes) -> None:
    """Connect and ask; the worker closes after its answer."""
    transport = QuietTransport(worker.loop.closed)
    transport.protocol = worker.loop.factories[0]()
    transport.protocol.connection_made(transport)
    transport.protocol.data_received(octets)


def _visit_securely(worker: Worker, octets: bytes) -> None:
    """Shake hands first; the request comes along with the client's last words of the handshake."""
    transport = QuietTransport(worker.loop.closed)
    transport.protocol = worker.loop.factories[1]()
    transport.protocol.connection_made(transport)
    client = worker.tls_client()
    through = False
    while not through:
        flight, through = client.greet(transport.taken())
        transport.protocol.data_received(flight + client.encrypt(octets) if through else flight)


def _check(answer: bytes, scenario: Scenario) -> None:
    """Make sure that what is counted is what the scenario is about. Raises RuntimeError."""
    wanted = b"HTTP/1.1 %d " % scenario.status
    cache = b"X-Cache-Status: %s\r\n" % scenario.cache.encode()
    if not answer.startswith(wanted) or (scenario.cache and cache not in answer):
        raise RuntimeError(f"{scenario.name} is answered {answer[:600]!r}")


def _codec() -> Call:
    """Parse a request head, a response head and a chunked body, all anew."""
    line, _, section = Scenario(name="", about="").request(0)[:-2].partition(b"\r\n")
    status, _, response = ANSWER.partition(b"\r\n\r\n")[0].partition(b"\r\n")

    def call(_: bytes) -> None:
        parse_request_line(line)
        parse_request_fields(section, 1, MAX_FIELDS)
        parse_status_line(status)
        parse_response_fields(response + b"\r\n")
        ChunkedDecoder().feed(CHUNKED)

    return call


def _limiter(workers: int) -> Call:
    """Take a token out of one of many buckets."""
    table = LimiterTable.create(bytes(32))
    table.users = workers
    kind = TokenBucket.of(1_000_000, 1, 1_000_000)
    numbers = iter(range(1 << 40))

    def call(_: bytes) -> None:
        number = next(numbers)
        table.take((number % BUCKETS) * 0x9E3779B97F4A7C15 & (1 << 64) - 1, kind, number * 1000)

    return call


FUNCTIONS: dict[str, tuple[str, Callable[[], Call]]] = {
    "codec": ("two heads and a chunked body parsed, nothing remembered", _codec),
    "limiter": (f"one token of {BUCKETS} buckets", partial(_limiter, 1)),
    "limiter-two-workers": ("... under the lock", partial(_limiter, 2)),
}
NAMES = (*FUNCTIONS, *(scenario.name for scenario in SCENARIOS))


class Function:
    """A pure function in the place of traffic."""

    def __init__(self, name: str) -> None:
        self.call = FUNCTIONS[name][1]()

    async def start(self) -> None:
        """Call it a few times."""
        await self.run(self.prepare(BUCKETS))

    def prepare(self, count: int) -> list[Any]:
        """Need nothing."""
        return [b""] * count

    async def run(self, work: Sequence[Any]) -> None:
        """Call it so many times."""
        call = self.call
        for nothing in work:
            call(nothing)
