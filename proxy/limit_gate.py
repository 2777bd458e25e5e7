"""The rate limiter's gate: who is over the limit gets 429, is counted for the operator and told in the log.

A flood consists of requests that end here, so each of them has to cost less than a page from the cache: nearly all of
the answer is prepared, and clients are named and logged once, not once a request.

Theory of operation. However cheap, as many refusals as a flood asks for would still keep the worker busy, and others
would wait behind them. So there are only so many in a turn of a few milliseconds while there are others to serve: whose
refusal is beyond that gets it, and is then held back, which means that the next request of the connection waits.
Connections that are held back go on one after the other, so many a turn.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from proxy import answers
from proxy.clock import shared_clock
from proxy.exchange import Downstream, Exchange
from proxy.semantics.dates import date_line
from proxy.snapshot import SiteRuntime
from proxy.telemetry import counters, process_log
from proxy.traffic.address import address_from_packed
from proxy.traffic.limiter import RateLimitStore
from proxy.traffic.rate_policy import RatePolicy
from proxy.traffic.top_clients import LimitedClient, TopClients, log_refusal_in

if TYPE_CHECKING:
    import asyncio

    from proxy.pipeline import Pipeline

_log = process_log.logger("worker")

#: Seconds between two reports to the supervisor.
TELL_EVERY: Final = 2.0
#: Buckets between two reports; to hand more over at once would hold up the loop.
_MOST_BUCKETS: Final = 512
_MOST_PREPARED: Final = 2048
#: Refusals in a turn before connections are held back, and connections that then go on in a turn. With their next
#: requests that is eight refusals in 5 ms; at 25 µs each a flood takes 4 % of a worker.
PER_TURN: Final = 4
TURN: Final = 5_000_000  # nanoseconds
#: Others are there to be served for so many turns (10 s) after one was.
_COMPANY: Final = 2000
_NANOSECOND: Final = 1e-9
_ENFORCED, _DRY_RUN = 1, 2  # indices into access_log.LIMIT_OUTCOMES


class _Refused:
    """What is known of one bucket since the last report."""

    __slots__ = ("count", "name", "quiet_until")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.quiet_until = 0  # nanoseconds of the shared clock


class LimitGate:
    """Takes a token for every request, from buckets that all workers share."""

    __slots__ = (
        "_admitted",
        "_buckets",
        "_company_until",
        "_date",
        "_held",
        "_pipeline",
        "_prepared",
        "_refused",
        "_second",
        "_store",
        "_tell",
        "_timer",
        "_told",
        "_top",
        "_turn",
        "_turn_timer",
    )

    def __init__(
        self, pipeline: "Pipeline", store: RateLimitStore, tell: Callable[[Sequence[LimitedClient]], None]
    ) -> None:
        """`store` also holds back log lines; `tell` gets the most limited clients whenever these have changed."""
        self._pipeline = pipeline
        self._store = store
        self._tell = tell
        self._top = TopClients()
        self._buckets: dict[int, _Refused] = {}
        self._told: Sequence[LimitedClient] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._held: OrderedDict[Downstream, None] = OrderedDict()
        self._turn_timer: asyncio.TimerHandle | None = None
        self._turn = 0
        self._refused = 0  # in this turn
        self._admitted = 0  # the bucket of who was let through last in this second
        self._company_until = 0  # turns
        self._second = 0
        self._date = b""
        self._prepared: dict[tuple[bytes, bool], answers.TooManyRequests] = {}

    def refuses(self, exchange: Exchange, site: SiteRuntime, rate: RatePolicy) -> bool:
        """Take a token from the client's bucket; where there is none, answer 429 and keep the connection open."""
        if rate.exempt_paths and rate.exempts(exchange.target):
            return False
        bucket = exchange.downstream.bucket(rate, exchange.client_packed)
        if bucket is None:
            return False
        wait = self._store.take(bucket, rate.kind, exchange.started)
        if not wait:
            self._admitted = bucket
            return False
        known = self._buckets.get(bucket)
        if known is not None and exchange.started < known.quiet_until:
            known.count += 1
        else:
            self._count(exchange, site, rate, bucket)
        if rate.dry_run:
            exchange.limited = _DRY_RUN
            site.counters.limited_dry_run()
            return False
        site.counters.limited()
        turn = exchange.started // TURN
        if turn != self._turn:
            self._begin_turn(turn)
        self._answer(exchange, rate, (wait + 999_999) // 1_000_000)
        self._refused += 1
        if self._refused > PER_TURN:
            if self._admitted != bucket and self._admitted:
                self._company_until = turn + _COMPANY
            # A trusted proxy's connection carries the requests of others, too.
            if turn < self._company_until and not exchange.downstream.origin.trusted:
                self._hold_back(exchange.downstream)
        return True

    def _begin_turn(self, turn: int) -> None:
        self._turn = turn
        self._refused = 0
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._admitted = 0
            self._date = date_line(second)

    def _hold_back(self, downstream: Downstream) -> None:
        if not downstream.hold_back():
            return
        self._held[downstream] = None
        self._wait_for_next_turn()

    def _wait_for_next_turn(self) -> None:
        if self._turn_timer is None:
            self._turn_timer = self._pipeline.loop.call_later(TURN * _NANOSECOND, self._let_go_on)

    def _let_go_on(self) -> None:
        """Let those go on that have been held back for longest."""
        held = self._held
        self._turn_timer = None
        for _ in range(min(len(held), PER_TURN)):
            downstream, _none = held.popitem(last=False)
            try:
                if not downstream.go_on():
                    held[downstream] = None
            except Exception:  # the root of what goes on here; the others must not wait for ever
                self._pipeline.counters.add(counters.INTERNAL_ERRORS)
                _log.exception("a client that was held back cannot go on")
                downstream.abort_response()
        if held:
            self._wait_for_next_turn()

    def forget(self, downstream: Downstream) -> None:
        """Let go of who has left while being held back."""
        self._held.pop(downstream, None)

    def _answer(self, exchange: Exchange, rate: RatePolicy, seconds: int) -> None:
        exchange.limited = _ENFORCED
        exchange.error = answers.DENIED
        prepared = exchange.fields.shared.get(rate)
        if not isinstance(prepared, answers.TooManyRequests):
            prepared = exchange.fields.shared[rate] = self._prepare(exchange, rate)
        request_id = self._pipeline.request_id(exchange)
        content = prepared.before + request_id + prepared.after
        if not exchange.complete:
            lines = prepared.advice(seconds) + b"X-Request-ID: %s\r\n" % request_id
            size = len(content)
            exchange.downstream.respond(
                prepared.start, 429, lines, size, content, complete=True, has_date=False
            )
            return
        head = prepared.head(seconds, len(content), self._date)
        if exchange.method == b"HEAD":
            content = b""
        exchange.downstream.respond_stored(429, head, request_id + b"\r\n", content)

    def _prepare(self, exchange: Exchange, rate: RatePolicy) -> answers.TooManyRequests:
        """Return the answer that all field sections of one taste share, so that inventing some costs no memory."""
        html = answers.prefers_html(exchange.fields)
        prepared = self._prepared.get((rate.policy_value, html))
        if prepared is None:
            if len(self._prepared) >= _MOST_PREPARED:  # policies of configurations that are gone
                self._prepared.clear()
            prepared = self._prepared[rate.policy_value, html] = answers.TooManyRequests(
                rate.policy_value, html=html
            )
        return prepared

    # --- who they are

    def _count(self, exchange: Exchange, site: SiteRuntime, rate: RatePolicy, bucket: int) -> None:
        """Take note of a refusal, or with `dry_run` of what would have been one."""
        known = self._buckets.get(bucket) or self._begin(exchange, bucket, rate)
        known.count += 1
        if exchange.started < known.quiet_until:
            return
        wait = log_refusal_in(self._store, bucket, exchange.started)
        known.quiet_until = exchange.started + wait * 1000
        if not wait:
            event = "a client would be limited" if rate.dry_run else "a client is limited"
            _log.warning(event, extra=process_log.fields(client=known.name, site=site.config.name))

    def _begin(self, exchange: Exchange, bucket: int, rate: RatePolicy) -> _Refused:
        """Name who shares a bucket, and see that it will be reported."""
        if len(self._buckets) >= _MOST_BUCKETS:
            self._hand_over()
        if self._timer is None:
            self._timer = self._pipeline.loop.call_later(TELL_EVERY, self._report)
        known = self._buckets[bucket] = _Refused(
            rate.client_name(address_from_packed(exchange.client_packed))
        )
        return known

    def _hand_over(self) -> None:
        now = shared_clock() * _NANOSECOND
        for refused in self._buckets.values():
            self._top.record(refused.name, now, refused.count)
        self._buckets.clear()

    def _report(self) -> None:
        self._timer = None
        self._hand_over()
        limited = self._top.limited(shared_clock() * _NANOSECOND)
        if limited != self._told:
            self._told = limited
            self._tell(limited)
        if limited:
            self._timer = self._pipeline.loop.call_later(TELL_EVERY, self._report)
