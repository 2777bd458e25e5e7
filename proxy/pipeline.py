"""The way of a request, top to bottom.

    admit -> client address -> site -> firewall -> route -> limits -> rate limit -> forward -> log

Each step either lets the request go on or answers it.  There is no task and no wait here: what has to wait (a
connection, an app) is left to the Forward that the last step starts.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from proxy import answers
from proxy.cache_gate import CacheGate
from proxy.caching.key import Pairs
from proxy.clock import shared_clock
from proxy.errors import GatewayError, LoopDetectedError
from proxy.exchange import Exchange
from proxy.http1.writer import status_line
from proxy.limit_gate import LimitGate
from proxy.plans import RequestPlan
from proxy.request_ids import RequestIds
from proxy.semantics.fields import SAFE_METHODS
from proxy.snapshot import RouteRuntime, SiteRuntime, Snapshot
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.counters import NO_SITE, WorkerCounters
from proxy.traffic.rate_policy import slowest
from proxy.upstream.balancer import Target
from proxy.upstream.directory import UpstreamDirectory
from proxy.upstream.forward import Forward
from proxy.upstream.pool import Pool

CHALLENGE_PATH: Final = b"/.well-known/acme-challenge/"
_BEHIND_CHALLENGES: Final = b"/.well-known/acme-challenge0"  # "0" follows "/"
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{22,256}")
#: What is accepted as a request id from a trusted peer; fit for logs and fields without escaping.
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")


class Pipeline:
    """What a worker does with requests; ``snapshot`` is swapped on reload."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Snapshot,
        *,
        counters: WorkerCounters,
        directory: UpstreamDirectory,
        pool_of: Callable[[Target], Pool],
        log: AccessLog,
        instance: str,
        on_failure: Callable[[Exchange, GatewayError], None] | None = None,
    ) -> None:
        self.loop = loop
        self.snapshot = snapshot
        self.counters = counters
        self.directory = directory
        self.pool_of = pool_of
        self.pseudonym = f"foregate-{instance}".encode()
        self.cache: CacheGate | None = None
        self.limits: LimitGate | None = None
        #: The ACME account's thumbprint for each name whose challenges are answered here.
        self.thumbprints: dict[bytes, bytes] = {}
        self._log = log
        self._on_failure = on_failure
        self._no_site = counters.site(NO_SITE)
        self._ids = RequestIds()

    def admit(self, exchange: Exchange) -> None:
        """Take a request in and see that it is answered, now or later."""
        downstream, snapshot = exchange.downstream, exchange.snapshot
        fields, origin = exchange.fields, downstream.origin
        if origin.trusted:
            exchange.client, exchange.client_packed = downstream.client_of(fields)
        # What begins with the path lies between these two; two comparisons take a fifth of startswith().
        if CHALLENGE_PATH < exchange.target < _BEHIND_CHALLENGES and self._answers_challenge(exchange):
            return
        if downstream.is_reserved:
            self.refuse(exchange, 503, "Too many connections.", proxy_status="connection_limit_reached")
            return
        site = exchange.site = snapshot.site(fields)
        if (
            snapshot.firewall is not None
            and not snapshot.firewall.permits(exchange.client_packed)
            and self._denies(exchange)
        ):
            return
        if site is None:
            self._unknown_host(exchange)
            return
        if origin.is_secure and not site.is_any and downstream.misdirected(fields):
            self.refuse(exchange, 421, "This connection's certificate does not cover the requested host.")
            return
        route = exchange.route = site.route(exchange.target)
        if (
            route.firewall is not None
            and not route.firewall.permits(exchange.client_packed)
            and self._denies(exchange)
        ):
            return
        rate = route.rate
        if site.other_readings is not None:
            judges = site.other_readings.of(exchange.target)
            if len(judges) > 1:
                admitted = all(judge.admits(exchange.client_packed) for judge in judges)
                if not admitted and self._denies(exchange):
                    return
                rate = slowest((rate, *(judge.rate for judge in judges)))
        if rate is not None and self.limits is not None and self.limits.refuses(exchange, site, rate):
            return
        plan = route.plan(fields, origin, self.pseudonym)
        if plan.refusal is not None:
            self.refuse(exchange, *plan.refusal, proxy_status="http_request_error")
            return
        if not origin.is_secure and site.redirects_to_https and not self._stays_on_http(exchange, site):
            self._redirect_to_https(exchange)
            return
        if route.redirect:
            self._redirect(exchange, route)
            return
        if plan.via_us:
            self.gateway_error(exchange, LoopDetectedError())
            return
        if plan.upgrade_lines:
            exchange.is_upgrade = exchange.method == b"GET" and exchange.minor_version == 1
        if (
            plan.cache is not None
            and self.cache is not None
            and self.cache.answers(exchange, route, plan, plan.cache)
        ):
            return
        self.forward(exchange, route, plan)

    def forward(self, exchange: Exchange, route: RouteRuntime, plan: RequestPlan) -> None:
        """Send a request to the app; its response comes back by way of the exchange."""
        if exchange.method not in SAFE_METHODS and self.cache is not None:
            exchange.writes = True
        exchange.receiver = forward = Forward(self, exchange, route, plan)
        forward.seek()

    def response_arrived(self, exchange: Exchange, pointers: Pairs) -> None:
        """Void what an unsafe request may have changed, before anybody hears of its response.

        ``pointers`` are the response's fields; empty when there is none.
        """
        exchange.writes = False
        if self.cache is not None:
            self.cache.wrote(exchange, pointers)

    # --- steps that may answer

    def _answers_challenge(self, exchange: Exchange) -> bool:
        """Answer the CA for a configured name, whatever else holds for it (RFC 8555 section 8.3).

        No token is stored: whoever knows the account's thumbprint can answer every token.
        """
        thumbprint = self.thumbprints.get(exchange.fields.host_name)
        token = exchange.target[len(CHALLENGE_PATH) :]
        if thumbprint is None or _TOKEN.fullmatch(token) is None:
            return False
        site = exchange.site = exchange.snapshot.site(exchange.fields)
        if site is None or site.tls.passthrough_challenges or exchange.method not in (b"GET", b"HEAD"):
            return False
        block = b"Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n"
        self._answer(exchange, answers.Answer(200, block, token + b"." + thumbprint))
        return True

    def _denies(self, exchange: Exchange) -> bool:
        """Refuse a client that the firewall keeps out, unless it may be a CA whose challenge the app answers."""
        site, target = exchange.site, exchange.target
        if (
            site is not None
            and site.tls.passthrough_challenges
            and not exchange.downstream.origin.is_secure
            and target.startswith(CHALLENGE_PATH)
            and _TOKEN.fullmatch(target, len(CHALLENGE_PATH)) is not None
            and exchange.method in (b"GET", b"HEAD")
        ):
            return False
        (site.counters if site is not None else self._no_site).denied()
        self.refuse(
            exchange, 403, "Access from your address is not allowed.", proxy_status="http_request_denied"
        )
        return True

    def _unknown_host(self, exchange: Exchange) -> None:
        status = 421 if exchange.downstream.origin.is_secure else 404
        self.refuse(
            exchange, status, "No site with this name is served here.", proxy_status="destination_not_found"
        )

    def _stays_on_http(self, exchange: Exchange, site: SiteRuntime) -> bool:
        """Say whether a redirect to https would do harm.

        A challenge that the app answers itself cannot follow one: the certificate is what it is for. A client that
        already uses https towards a proxy in front of us would be redirected for ever; Cloudflare's "Flexible" mode is
        the usual case (its edge speaks http to us and tells in CF-Visitor).
        """
        if site.tls.passthrough_challenges and exchange.target.startswith(CHALLENGE_PATH):
            return True
        fields, snapshot = exchange.fields, exchange.snapshot
        if (
            exchange.downstream.origin.trusted
            and (fields.get(b"x-forwarded-proto") or b"").lower() == b"https"
        ):
            return True
        if exchange.downstream.peer.packed not in snapshot.cloudflare:
            return False
        return b'"https"' in (fields.get(b"cf-visitor") or b"")

    def _redirect_to_https(self, exchange: Exchange) -> None:
        host = exchange.fields.host
        if host is None:
            self.refuse(exchange, 400, "A request without Host cannot be redirected to https.")
            return
        name = host if host[:1] == b"[" and host[-1:] == b"]" else host.rpartition(b":")[0] or host
        port = exchange.snapshot.config.server.https[0].port
        suffix = b"" if port in (443, 0) else b":%d" % port
        target = b"/" if exchange.target == b"*" else exchange.target
        status = 308 if exchange.downstream.has_certificate(exchange.fields) else 307
        self._answer(exchange, answers.redirect(status, b"https://%s%s%s" % (name, suffix, target)))

    def _redirect(self, exchange: Exchange, route: RouteRuntime) -> None:
        target = b"/" if exchange.target == b"*" else exchange.target
        self._answer(exchange, answers.redirect(308, route.redirect.rstrip(b"/") + target))

    # --- answers

    def refuse(
        self, exchange: Exchange, status: int, detail: str, *, proxy_status: str = "", extra: bytes = b""
    ) -> None:
        """Answer a request with an error of our own."""
        request_id = self.request_id(exchange)
        exchange.error = exchange.error or proxy_status
        self._answer(
            exchange,
            answers.problem(
                status, detail, request_id, exchange.fields, proxy_status=proxy_status, extra=extra
            ),
        )

    def gateway_error(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer that the app could not be reached or gave no good answer; the details go to the log alone."""
        exchange.error = error.kind
        self.log_failure(exchange, error)
        self.refuse(exchange, error.status, error.wording, proxy_status=error.proxy_status)

    def log_failure(self, exchange: Exchange, error: GatewayError) -> None:
        """Tell the proxy's own log what went wrong with an app."""
        if self._on_failure is not None:
            self._on_failure(exchange, error)

    def _answer(self, exchange: Exchange, answer: answers.Answer) -> None:
        exchange.downstream.respond(
            status_line(answer.status),
            answer.status,
            answer.block,
            len(answer.content),
            answer.content,
            complete=True,
            has_date=False,
        )

    def request_id(self, exchange: Exchange) -> bytes:
        """Return the id of a request: a trusted peer's, or one of our own."""
        if not exchange.request_id:
            told = exchange.fields.get(b"x-request-id") if exchange.downstream.origin.trusted else None
            if told and _REQUEST_ID.fullmatch(told):
                exchange.request_id = told
            else:
                exchange.request_id = self._ids.next()
        return exchange.request_id

    def completed(self, exchange: Exchange) -> None:
        """Count and log an exchange that is over."""
        exchange.receiver = None  # breaks the reference cycle, so that no collector has to
        took = (exchange.ended or shared_clock()) - exchange.started
        site, downstream = exchange.site, exchange.downstream
        counters = site.counters if site is not None else self._no_site
        counters.request(exchange.status, exchange.cache_outcome, took, exchange.received, exchange.sent)
        tls_version = downstream.tls_version if downstream.origin.is_secure else ""
        self._log.write(exchange, exchange.request_id or self.request_id(exchange), took, tls_version)

    def use_log(self, log: AccessLog) -> None:
        """Write to another access log from now on."""
        self._log = log
