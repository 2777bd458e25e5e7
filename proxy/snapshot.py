"""The configuration in the form that requests run on: compiled once, never changed, swapped whole on reload.

A request keeps the snapshot that it started with.  What outlives a snapshot (targets with their health and
connections, buckets, stored responses, counters) is referred to, not owned.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from proxy.caching.key import KeyRules, compile_rules, key_space, rules_for_writes
from proxy.config import schema
from proxy.config.schema import Config
from proxy.exchange import Origin
from proxy.http1.request import RequestFields
from proxy.plans import RequestPlan, make_plan
from proxy.semantics.forwarding import RequestEdits, request_edits
from proxy.telemetry.counters import NO_SITE, SiteCounters, WorkerCounters
from proxy.traffic.address_ranges import AddressRanges
from proxy.traffic.client_address import ClientHeader
from proxy.traffic.firewall import NO_RULES, Firewall, Firewalls
from proxy.traffic.presets import CLOUDFLARE, trusted_proxies
from proxy.traffic.rate_policy import RatePolicy
from proxy.traffic.readings import OtherReadings
from proxy.traffic.router import PrefixTable, normalise_path, strip_path_prefix
from proxy.upstream.balancer import Balancer
from proxy.upstream.directory import UpstreamDirectory

#: A path's route is remembered up to so many targets of so many octets at most; then the memory is emptied.
_REMEMBERED_TARGETS: Final = 4096
_REMEMBERED_SIZE: Final = 256


class RouteRuntime:
    """One route, ready for requests."""

    __slots__ = (
        "balancer",
        "cache",
        "cache_rules",
        "cache_space",
        "config",
        "firewall",
        "limits",
        "own_host",
        "path",
        "rate",
        "redirect",
        "request_edits",
        "response_edits",
        "scope",
        "strip_prefix",
        "timeouts",
        "upgrade",
    )

    def __init__(
        self,
        route: schema.Route,
        balancer: Balancer,
        firewall: Firewall | None,
        rate: RatePolicy | None,
        cache_rules: KeyRules | None,
        cache_space: bytes,
    ) -> None:
        self.config = route
        self.balancer = balancer
        self.firewall = firewall
        self.rate = rate
        self.path = route.path.encode()
        self.cache = route.cache
        self.cache_rules = cache_rules
        self.cache_space = cache_space
        self.scope = blake2b(repr(route.upstream).encode(), digest_size=16).digest()
        self.limits = route.limits
        self.timeouts = route.timeouts
        self.own_host = route.host == "upstream"
        self.redirect = route.redirect.encode("ascii", "ignore")
        self.strip_prefix = route.strip_prefix and bool(self.path.strip(b"/"))
        self.upgrade = frozenset(protocol.encode() for protocol in route.upgrade)
        self.request_edits: RequestEdits = request_edits(route.set_request_headers)
        self.response_edits: RequestEdits = request_edits(route.set_response_headers)

    def admits(self, packed: bytes) -> bool:
        """Say whether an address may come in here."""
        return self.firewall is None or self.firewall.permits(packed)

    def differs_in_rules_from(self, site: "RouteRuntime") -> bool:
        """Say whether requests are admitted here by other rules than on the rest of the site."""
        return self.config.own_rate or self.config.firewall != site.config.firewall

    def upstream_target(self, target: bytes) -> bytes:
        """Return the request target for the app: as it came, or without the route's prefix."""
        return strip_path_prefix(target, self.path) if self.strip_prefix else target

    def plan(self, fields: RequestFields, origin: Origin, pseudonym: bytes) -> RequestPlan:
        """Return the plan for a field section, made once and kept with the parsed section.

        The key is all that a plan is made from.
        """
        key = (self, origin)
        plan = fields.derived.get(key)
        if plan is None:
            plan = make_plan(self, fields, origin, pseudonym)
            fields.derived[key] = plan
        return plan  # type: ignore[return-value]  # under such a key there is nothing else


class SiteRuntime:
    """One site, ready for requests."""

    __slots__ = (
        "_default",
        "_paths",
        "_remembered",
        "config",
        "counters",
        "hsts_line",
        "is_any",
        "label",
        "other_readings",
        "redirects_to_https",
        "tls",
        "write_rules",
    )

    def __init__(
        self,
        site: schema.Site,
        routes: Mapping[str, RouteRuntime],
        counters: SiteCounters,
        write_rules: KeyRules | None,
        *,
        label: bytes,
    ) -> None:
        self.config = site
        self.tls = site.tls
        self.is_any = site.domains == ("*",)
        self.counters = counters
        self.label = label
        self.redirects_to_https = False
        hsts = site.tls.hsts
        self.hsts_line = b"" if hsts is None else b"Strict-Transport-Security: max-age=%d\r\n" % hsts
        #: What tells users apart: by it, a write voids what is kept for its sender. A site without a cache has it,
        #: too: it may have had one before a reload, and may have it again.
        self.write_rules = write_rules
        self._default = routes[""]
        self._paths = PrefixTable({path: route for path, route in routes.items() if path})
        self._remembered: dict[bytes, RouteRuntime] = {}
        #: Where a target may lead in the app's eyes; None where all routes have the same firewall and rate.
        self.other_readings: OtherReadings[RouteRuntime] | None = None
        if any(route.differs_in_rules_from(self._default) for route in routes.values()):
            by_path = {path: route for path, route in routes.items() if path}
            self.other_readings = OtherReadings(by_path, self._default)

    def route(self, target: bytes) -> RouteRuntime:
        """Return the route of a request target: the longest prefix of the normalised path, or the site itself."""
        if not self._paths:
            return self._default
        route = self._remembered.get(target)
        if route is None:
            route = self._paths.find(normalise_path(target)) or self._default
            if len(target) > _REMEMBERED_SIZE:
                return route
            if len(self._remembered) >= _REMEMBERED_TARGETS:
                self._remembered.clear()
            self._remembered[target] = route
        return route


class Snapshot:
    """All sites, ready for requests."""

    __slots__ = (
        "_any",
        "_by_host",
        "client_header",
        "cloudflare",
        "config",
        "firewall",
        "limits",
        "max_fields",
        "max_head_size",
        "proxy_protocol",
        "sites",
        "timeouts",
        "trusted",
    )

    def __init__(self, config: Config, parts: "SnapshotParts") -> None:
        self.config = config
        self.limits = config.limits
        self.timeouts = config.timeouts
        self.client_header = ClientHeader(config.client_ip.header)
        self.trusted = trusted_proxies(config.client_ip.trusted, parts.gateways)
        self.firewall = parts.firewall(config.firewall)
        self.proxy_protocol = AddressRanges.of(config.server.proxy_protocol)
        self.cloudflare = AddressRanges.of(CLOUDFLARE)
        redirects = config.server.redirect_https and bool(config.server.https)
        self.sites = tuple(parts.site(site, redirects_to_https=redirects) for site in config.sites)
        self._by_host = {
            domain.encode(): site for site in self.sites for domain in site.config.domains if domain != "*"
        }
        self._any = next((site for site in self.sites if site.is_any), None)
        every = [config.limits, *(route.limits for site in config.sites for route in site.routes)]
        self.max_head_size = max(limits.head_size for limits in every)
        self.max_fields = max(limits.fields for limits in every)

    def speaks_proxy_protocol(self, packed: bytes) -> bool:
        """Say whether this peer must begin its connections with a PROXY protocol header."""
        return bool(self.proxy_protocol) and packed in self.proxy_protocol

    def site(self, fields: RequestFields) -> SiteRuntime | None:
        """Return the site of a request, by its Host; without Host the site for any host."""
        try:
            return fields.shared[self]  # type: ignore[return-value]  # under such a key there is nothing else
        except KeyError:
            host = fields.host
            site = self._any if host is None else self._by_host.get(fields.host_name, self._any)
            fields.shared[self] = site
            return site


class SnapshotParts:
    """Makes the parts of a snapshot from what the worker already has."""

    def __init__(
        self,
        directory: UpstreamDirectory,
        counters: WorkerCounters,
        site_blocks: Mapping[str, int],
        *,
        limiter_key: bytes = b"",
        cache_secret: bytes = b"",
        gateways: Iterable[bytes] = (),
        firewalls: Firewalls = NO_RULES,
    ) -> None:
        self._directory = directory
        self._counters = counters
        self._blocks = site_blocks
        self._limiter_key = limiter_key
        self._cache_secret = cache_secret
        self._write_rules = rules_for_writes(cache_secret) if cache_secret else None
        self._firewalls = firewalls
        self.gateways = tuple(gateways)

    def site(self, site: schema.Site, *, redirects_to_https: bool) -> SiteRuntime:
        """Compile a site with its routes."""
        routes = {route.path: self._route(site, route) for route in site.routes}
        counters = self._counters.site(self._blocks.get(site.name, NO_SITE))
        runtime = SiteRuntime(site, routes, counters, self._write_rules, label=site.name.encode())
        runtime.redirects_to_https = redirects_to_https and site.tls.mode != "off"
        return runtime

    def _route(self, site: schema.Site, route: schema.Route) -> RouteRuntime:
        rate = None
        if self._limiter_key:
            own = route.path if route.own_rate else None
            rate = RatePolicy.of(route.rate_limit, self._limiter_key, site.name, own)
        caches = bool(self._cache_secret) and route.cache.ttl > 0 and not route.redirect
        return RouteRuntime(
            route,
            self._directory.balancer(site, route),
            self.firewall(route.firewall),
            rate,
            compile_rules(route.cache, self._cache_secret) if caches else None,
            key_space(site.name, route),
        )

    def firewall(self, rules: schema.Firewall) -> Firewall | None:
        """Return firewall rules as the supervisor has made them ready; None where there are none."""
        if not rules.allow and not rules.deny:
            return None
        return self._firewalls.get(rules) or Firewall.of(rules, {})
