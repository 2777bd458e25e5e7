"""The cache gate between fake clients and a fake app, on a loop whose time moves by hand."""

import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.cache_gate import CacheGate
from proxy.caching.claims import Claim
from proxy.caching.identity import identify
from proxy.caching.record import SECOND
from proxy.caching.store import Store
from proxy.config.schema import Cache, Timeouts
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.http1.request import parse_request_fields
from proxy.telemetry.counters import INTERNAL_ERRORS
from tests.fakes.cache import BASE, RULES, SECRET
from tests.fakes.cache_peers import Client, Forward
from tests.fakes.hand_loop import Loop


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
        weakref.finalize(self, self.store.leave)
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


def clients_of(world: World, number: int) -> list[Client]:
    """Let so many clients ask for the same page."""
    clients = [Client(world) for _ in range(number)]
    for client in clients:
        client.ask()
    return clients


def stored(world: World, content: bytes = b"old", *, block: bytes = b"", stale: bool = True) -> None:
    """Have an answer stored, and stale unless told otherwise."""
    Client(world).ask()
    world.forwards[0].respond(content, block=block)
    if stale:
        world.pass_time(4)


def outcomes(clients: list[Client]) -> list[str]:
    """Return how the cache says that it answered, client by client."""
    return [outcome for client in clients for _, _, outcome in client.answers]
