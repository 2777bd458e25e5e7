"""The cache gate between fake clients and a fake app, on a loop whose time moves by hand."""

import heapq
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.cache_gate import CacheGate
from proxy.caching.claims import Claim
from proxy.caching.key import identify
from proxy.caching.record import SECOND
from proxy.caching.store import Store
from proxy.config.schema import Cache, Timeouts
from proxy.errors import GatewayError, UpstreamResetError
from proxy.exchange import Exchange, Origin
from proxy.http1.request import parse_request_fields
from proxy.plans import CachePlan, RequestPlan
from proxy.semantics.fields import FieldLine
from proxy.telemetry.counters import INTERNAL_ERRORS
from proxy.traffic.address import parse_address
from tests.fakes.cache import BASE, RULES, SECRET, START

ORIGIN = Origin(b"https", 443, trusted=False)


class Timer:
    """What `call_later` returns."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """An event loop's timers; time moves with `World.pass_time`."""

    def __init__(self) -> None:
        self.now = START / SECOND
        self._order = count()
        self._timers: list[tuple[float, int, Timer]] = []

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> Timer:
        timer = Timer(self.now + seconds, lambda: call(*arguments))
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            call, timer.call = timer.call, None
            if call is not None:
                call()
        self.now = end

    @property
    def pending(self) -> int:
        """Count the timers that somebody still waits for."""
        return sum(timer.call is not None for _, _, timer in self._timers)


class Forward:
    """A request that the app has; the test says what the app does with it."""

    def __init__(self, world: "World", exchange: Exchange) -> None:
        self.world = world
        self.exchange = exchange
        self.is_paused = False
        self.is_alive = True
        exchange.receiver = self
        world.forwards.append(self)

    @property
    def client(self) -> object:
        """Return who gets the response: a Client, or a fill."""
        return self.exchange.downstream

    @property
    def cookie(self) -> bytes:
        return self.exchange.fields.get(b"cookie") or b""

    @property
    def language(self) -> bytes:
        return self.exchange.fields.get(b"accept-language") or b""

    def _end(self) -> None:
        self.is_alive = False
        self.world.forwards.remove(self)

    def respond(
        self,
        content: bytes = b"",
        *,
        status: int = 200,
        block: bytes = b"",
        length: int | None = None,
        complete: bool = True,
    ) -> None:
        if complete:
            self._end()
        self.exchange.upstream_seconds = 0.01
        block += self.exchange.cache_lines
        octets = len(content) if length is None else length
        self.exchange.downstream.respond(
            b"HTTP/1.1 %d \r\n" % status, status, block, octets, content, complete=complete, has_date=False
        )

    def send(self, content: bytes) -> None:
        self.exchange.downstream.send_content(content)

    def finish(self) -> None:
        self._end()
        self.exchange.downstream.finish()

    def fail(self) -> None:
        self._end()
        self.exchange.receiver = None
        if self.exchange.head_sent:
            self.exchange.error = "reset"
            self.exchange.downstream.abort_response()
        else:
            self.exchange.downstream.upstream_failed(UpstreamResetError("closed"))

    def request_content(self, content: bytes) -> None:
        raise AssertionError("no content was sent")

    def request_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        raise AssertionError("no content was sent")

    def downstream_paused(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def downstream_resumed(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def client_gone(self) -> None:
        if self.is_alive:
            self._end()


class Client:
    """A client's connection: at most one request at a time, the next one perhaps at the end of the last."""

    is_reserved = False
    tls_version = ""
    origin = ORIGIN
    peer = cast(Any, parse_address("192.0.2.1"))

    def __init__(self, world: "World") -> None:
        self.world = world
        self.exchange: Exchange | None = None
        self.answers: list[tuple[int, bytes, str]] = []
        self.failures: list[str] = []
        self.then: Callable[[], object] | None = None
        self.on_write: Callable[[], None] | None = None
        self.is_broken = False
        self.is_paused = False
        self._content = b""
        self._outcome = ""

    def ask(
        self, target: bytes = b"/", *, method: bytes = b"GET", cookie: bytes = b"", language: bytes = b""
    ) -> Exchange:
        assert self.exchange is None
        world = self.world
        section = b"Host: app.example.com\r\n"
        section += b"Cookie: %s\r\n" % cookie if cookie else b""
        section += b"Accept-Language: %s\r\n" % language if language else b""
        fields = parse_request_fields(section, 1, 100)
        exchange = Exchange(cast(Any, self), cast(Any, None), method, target, 1, fields, world.clock())
        exchange.site, exchange.route = world.site, world.route
        self.exchange, self._content, self._outcome = exchange, b"", ""
        identity = identify(tuple((lower, value) for lower, _, value in fields.lines), RULES)
        fill = cast(RequestPlan, SimpleNamespace(chain=b""))
        cached = CachePlan(BASE, identity, RULES, fill)
        if not world.gate.answers(exchange, world.route, fill, cached):
            Forward(world, exchange)
        return exchange

    def leave(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None and exchange.receiver is not None:
            exchange.receiver.client_gone()

    def pause(self, *, is_paused: bool) -> None:
        exchange = self.exchange
        if exchange is None or not exchange.head_sent or is_paused is self.is_paused:
            return  # a connection that is full takes no further request
        self.is_paused = is_paused
        receiver = exchange.receiver
        if receiver is not None:
            (receiver.downstream_paused if is_paused else receiver.downstream_resumed)()

    def _written(self) -> None:
        if self.is_broken:
            raise RuntimeError("a fault of ours")
        if self.on_write is not None:
            self.on_write()

    def respond(
        self,
        line: bytes,
        status: int,
        block: bytes,
        length: int,
        content: bytes,
        *,
        complete: bool,
        has_date: bool,
    ) -> None:
        self._written()
        exchange = self.exchange
        assert exchange is not None
        assert not exchange.head_sent, "a second head"
        exchange.head_sent, exchange.status = True, status
        self._outcome = block.partition(b"X-Cache-Status: ")[2].partition(b"\r\n")[0].decode()
        self._content = content
        if complete:
            self._over()

    def respond_stored(self, status: int, prefix: bytes, lines: bytes, content: bytes) -> None:
        self.respond(b"", status, lines, len(content), content, complete=True, has_date=True)

    def send_content(self, content: bytes) -> None:
        self._written()
        assert self.exchange is not None
        assert self.exchange.head_sent, "content before a head"
        self._content += content

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        self._written()
        assert self.exchange is not None
        assert self.exchange.head_sent
        self._over()

    def _over(self) -> None:
        exchange, self.exchange = self.exchange, None
        assert exchange is not None
        self.is_paused = False
        self.answers.append((exchange.status, self._content, self._outcome))
        then, self.then = self.then, None
        if then is not None:
            then()

    def abort_response(self) -> None:
        self.exchange, self.is_paused = None, False
        self.failures.append("aborted")

    def upstream_failed(self, error: GatewayError) -> None:
        self.world.gateway_error(cast(Exchange, self.exchange), error)

    def failed(self, error: GatewayError) -> None:
        self.exchange = None
        self.failures.append(error.kind)

    def client_lines(self, exchange: Exchange, chain: bytes) -> bytes:
        return b""

    def send_interim(self, status: int, block: bytes) -> None:
        return


class Claims:
    """Claims that other workers may have; what this one holds is in `held`."""

    def __init__(self) -> None:
        self.elsewhere: set[bytes] = set()
        self.is_busy = False
        self.held: set[bytes] = set()

    def claim(self, key: bytes, fingerprint: int, *, now: int, deadline: int) -> Claim:
        if self.is_busy:
            return Claim.BUSY
        mine = key + fingerprint.to_bytes(8, "little")
        if key in self.elsewhere or mine in self.held:
            return Claim.WAIT
        self.held.add(mine)
        return Claim.LEAD

    def release(self, key: bytes, fingerprint: int) -> None:
        self.held.remove(key + fingerprint.to_bytes(8, "little"))  # KeyError: given back twice


class Site:
    """As much of a SiteRuntime as the cache asks for."""

    label = b"app.example.com"
    write_rules = RULES

    def __init__(self, reasons: list[str]) -> None:
        self.counters = SimpleNamespace(bypassed=reasons.append, stored=lambda: None)


class World:
    """A gate with everything around it; `site`, `route` and `self` as pipeline are as little as it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Cache | None = None) -> None:
        self.loop = Loop()
        self.forwards: list[Forward] = []
        self.reasons: list[str] = []
        self.errors = 0
        self.logged = 0
        self.settings = settings or Cache()
        self.site = cast(Any, Site(self.reasons))
        self.route = cast(
            Any, SimpleNamespace(cache=self.settings, timeouts=Timeouts(), scope=bytes(range(16)))
        )
        self.counters = SimpleNamespace(add=self._count)
        self.store = Store.create(8 * 1024 * 1024, SECRET)
        self.claims = Claims()
        self.store.claims = cast(Any, self.claims)  # type: ignore[misc]  # a store's claims are its own for life
        self.gate = CacheGate(cast(Any, self), self.store)
        for module in ("cache_waits", "cache_fill", "cache_kept"):
            monkeypatch.setattr(f"proxy.{module}.shared_clock", self.clock)

    def clock(self) -> int:
        return int(self.loop.now * SECOND)

    def _count(self, name: int, number: int = 1) -> None:
        self.errors += number if name == INTERNAL_ERRORS else 0

    # What a pipeline does.

    def forward(self, exchange: Exchange, route: object, plan: object) -> None:
        Forward(self, exchange)

    def gateway_error(self, exchange: Exchange, error: GatewayError) -> None:
        cast(Client, exchange.downstream).failed(error)

    def log_failure(self, exchange: Exchange, error: GatewayError) -> None:
        self.logged += 1

    def request_id(self, exchange: Exchange) -> bytes:
        return b"id"

    # What a test does.

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def write(self, cookie: bytes, target: bytes = b"/") -> None:
        """Let somebody's unsafe request be answered."""
        section = b"Host: app.example.com\r\nCookie: %s\r\n" % cookie
        fields = parse_request_fields(section, 1, 100)
        client = Client(self)
        exchange = Exchange(cast(Any, client), cast(Any, None), b"POST", target, 1, fields, self.clock())
        exchange.site = self.site
        self.gate.wrote(exchange)

    def fill_key(self, target: bytes = b"/", cookie: bytes = b"") -> bytes:
        """Return what a request's flights and claims go by."""
        pairs = ((b"cookie", cookie),) if cookie else ()
        identity = identify(((b"host", b"app.example.com"), *pairs), RULES)
        return self.store.get(BASE, target, identity, self.clock()).fill_key

    def assert_at_rest(self) -> None:
        """Nobody waits, nothing is fetched, and everything was given back."""
        waits = self.gate.waits
        assert waits.fills == {}
        assert len(waits.flights) == 0
        assert waits.budget.taken == 0
        assert self.claims.held == set()
        assert self.forwards == []
        assert self.errors == 0
