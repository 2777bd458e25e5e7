"""Fake clients of a cache gate, and a fake app behind it; the test says what each of them does."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from proxy.caching.identity import identify
from proxy.errors import GatewayError, UpstreamResetError
from proxy.exchange import Exchange, Origin
from proxy.http1.request import parse_request_fields
from proxy.plans import CachePlan, RequestPlan
from proxy.semantics.fields import FieldLine
from proxy.traffic.address import parse_address
from tests.fakes.cache import BASE, RULES

if TYPE_CHECKING:
    from tests.fakes.cache_world import World

ORIGIN = Origin(b"https", 443, trusted=False)


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
        self,
        target: bytes = b"/",
        *,
        method: bytes = b"GET",
        cookie: bytes = b"",
        language: bytes = b"",
        fields: bytes = b"",
    ) -> Exchange:
        assert self.exchange is None
        world = self.world
        section = b"Host: app.example.com\r\n" + fields
        section += b"Cookie: %s\r\n" % cookie if cookie else b""
        section += b"Accept-Language: %s\r\n" % language if language else b""
        parsed = parse_request_fields(section, 1, 100)
        exchange = Exchange(cast(Any, self), cast(Any, None), method, target, 1, parsed, world.clock())
        exchange.site, exchange.route = world.site, world.route
        self.exchange, self._content, self._outcome = exchange, b"", ""
        identity = identify(tuple((lower, value) for lower, _, value in parsed.lines), RULES)
        plan: RequestPlan = cast(
            RequestPlan, SimpleNamespace(head=SimpleNamespace(chain=b""), for_fill=lambda _rules: plan)
        )
        has_range = parsed.get(b"range") is not None
        cached = CachePlan(BASE, identity, RULES, has_content=False, has_range=has_range)
        if not world.gate.answers(exchange, world.route, plan, cached):
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
