"""From the configured upstreams of a route to the keys of its targets."""

from collections.abc import Iterable, Mapping

from proxy.config.schema import Route, Site, Upstream
from proxy.upstream.addresses import HealthCheck, TargetKey, literal_addresses


def health_check(site: Site, route: Route) -> HealthCheck | None:
    """Return what to probe the addresses of a route with, or None if it configures no probe.

    The probe names the site when its requests do, because apps refuse a Host that they do not know
    (Django's ALLOWED_HOSTS).
    """
    if not route.health:
        return None
    named = route.host == "preserve" and site.name != "*"
    authority = site.name if named else ""
    return HealthCheck(path=route.health, authority=authority, interval=route.health_interval)


def target_keys(
    upstream: Upstream, route: Route, check: HealthCheck | None, addresses: Iterable[str]
) -> tuple[TargetKey, ...]:
    """Return one key for each address of a configured upstream (a unix socket has just one)."""
    tls = upstream.scheme == "https"
    return tuple(
        TargetKey(
            scheme=upstream.scheme,
            host=upstream.host,
            port=upstream.port,
            path=upstream.path,
            address=address,
            ca_file=route.upstream_ca_file if tls else "",
            server_name=route.upstream_server_name if tls else "",
            check=check,
        )
        for address in ([""] if upstream.scheme == "unix" else addresses)
    )


def upstream_addresses(upstream: Upstream, resolved: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the addresses of a configured upstream: its literal ones, or those its name resolved to."""
    literal = literal_addresses(upstream.host) if upstream.host else ()
    return resolved.get(upstream.host, ()) if literal is None else literal
