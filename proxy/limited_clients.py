"""Whom a worker limits: counted for the operator, and told in the log now and then."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from proxy.clock import shared_clock
from proxy.exchange import Exchange
from proxy.telemetry import process_log
from proxy.traffic.address import address_from_packed
from proxy.traffic.limiter import RateLimitStore
from proxy.traffic.rate_policy import RatePolicy
from proxy.traffic.top_clients import LimitedClient, TopClients, may_log_refusal

_log = process_log.logger("worker")

#: Seconds between two reports to the supervisor.
TELL_EVERY: Final = 2.0
_REMEMBERED_NAMES: Final = 4096
_NANOSECOND: Final = 1e-9


class LimitedClients:
    """Hears of every refusal by the rate limiter, so it has to be quick: a flood is nothing but refusals."""

    __slots__ = ("_loop", "_names", "_store", "_tell", "_timer", "_told", "_top")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: RateLimitStore,
        tell: Callable[[Sequence[LimitedClient]], None],
    ) -> None:
        """`store` also holds back log lines, over all workers; `tell` gets the list whenever it has changed."""
        self._loop = loop
        self._store = store
        self._tell = tell
        self._top = TopClients()
        self._names: dict[int, str] = {}
        self._told: Sequence[LimitedClient] = ()
        self._timer: asyncio.TimerHandle | None = None

    def refused(self, exchange: Exchange, bucket: int, rate: RatePolicy) -> None:
        """Take note of a refusal, or with `dry_run` of what would have been one."""
        name = self._names.get(bucket) or self._name(exchange, bucket, rate)
        self._top.record(name, exchange.started * _NANOSECOND)
        if self._timer is None:
            self._timer = self._loop.call_later(TELL_EVERY, self._report)
        if may_log_refusal(self._store, bucket, exchange.started):
            site = exchange.site.config.name if exchange.site is not None else ""
            event = "a client would be limited" if rate.dry_run else "a client is limited"
            _log.warning(event, extra=process_log.fields(client=name, site=site))

    def _name(self, exchange: Exchange, bucket: int, rate: RatePolicy) -> str:
        """Name who shares a bucket."""
        if len(self._names) >= _REMEMBERED_NAMES:
            self._names.clear()
        name = self._names[bucket] = rate.client_name(address_from_packed(exchange.client_packed))
        return name

    def _report(self) -> None:
        self._timer = None
        limited = self._top.limited(shared_clock() * _NANOSECOND)
        if limited != self._told:
            self._told = limited
            self._tell(limited)
        if limited:
            self._timer = self._loop.call_later(TELL_EVERY, self._report)
