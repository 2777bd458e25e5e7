"""The tables of [[site]] and [[site.route]], and the whole file."""

from typing import Annotated, Final

from pydantic import BeforeValidator

from proxy.config import kinds
from proxy.config.errors import UnacceptableError
from proxy.config.tables import (
    CacheTable,
    ClientIpTable,
    FirewallTable,
    LimitsTable,
    LogTable,
    RateLimitTable,
    ServerTable,
    Table,
    TimeoutsTable,
    TlsTable,
    key,
)

# These may stand at the top level, in a site and in a route, each overriding single keys of the one above.
INHERITED: Final = ("firewall", "rate_limit", "limits", "cache", "timeouts")


class UpstreamTable(Table):
    """One of several addresses of an app."""

    url: kinds.UpstreamUrl = key("Where the app is.", "http://app:3000")
    weight: Annotated[int, kinds.number(1, 1000)] = key("Its share of the requests.", 3)
    backup: kinds.Switch = key("Used only while no other one is healthy.", True)


def _as_upstream_tables(value: object) -> object:
    """Bring the three ways to write upstreams (a URL, a table, a list of both) into the longest one."""
    if isinstance(value, str | dict):
        value = [value]
    if not isinstance(value, list):
        raise UnacceptableError('an upstream such as "http://app:3000", or a list of them')
    return [{"url": item} if isinstance(item, str) else item for item in value]


class ForwardingTable(Table):
    """What a site and a route have in common."""

    upstream: Annotated[list[UpstreamTable], BeforeValidator(_as_upstream_tables)] = key(
        "Where to forward: one URL (http, https, or `unix:/path`), or a list of URLs and of tables such as "
        '`{url = "http://b:3000", weight = 1, backup = false}`.',
        "http://app:3000",
    )
    upstream_ca_file: kinds.File = key(
        "CA certificates to trust for https upstreams, instead of the system's. They are verified always.",
        "app-ca.pem",
    )
    upstream_server_name: kinds.Text = key(
        "The name to ask for and to verify in TLS to the upstream; empty: its host.", "app.internal"
    )
    balance: Annotated[str, kinds.choice("least_connections", "round_robin", "client_ip")] = key(
        "How requests are spread over several upstreams.", "client_ip"
    )
    host: Annotated[str, kinds.choice("preserve", "upstream")] = key(
        "The Host that the upstream sees: the client's, or its own.", "upstream"
    )
    health: kinds.Probe = key("A path to probe; empty: no probes.", "/healthz")
    health_interval: Annotated[float, kinds.duration(0.1, 86_400)] = key("The time between two probes.", "5s")
    upgrade: list[kinds.Upgrade] = key(
        "Protocols that a connection may be upgraded to. Every other Upgrade field is stripped; h2c and TLS "
        "always.",
        [],
    )
    redirect: kinds.Redirect = key(
        "Answer 308 with this prefix and the request's path and query, instead of forwarding.",
        "https://www.example.com",
    )
    set_request_headers: dict[kinds.SetFieldName, kinds.FieldValue] = key(
        'Fields to set in requests to the upstream; `""` removes a field. A route adds to its site\'s.',
        {"X-Api-Key": "${API_KEY}"},
    )
    set_response_headers: dict[kinds.SetFieldName, kinds.FieldValue] = key(
        'Fields to set in responses to the client; `""` removes a field. A route adds to its site\'s.',
        {"X-Frame-Options": "DENY", "Server": ""},
    )
    firewall: FirewallTable = key("Keys of [firewall] that differ here.", {"allow": ["10.0.0.0/8"]})
    rate_limit: RateLimitTable = key("Keys of [rate_limit] that differ here.", {"rate": "10/s", "burst": 20})
    limits: LimitsTable = key("Keys of [limits] that differ here.", {"body": "1GB"})
    cache: CacheTable = key("Keys of [cache] that differ here.", {"ttl": "0s"})
    timeouts: TimeoutsTable = key("Keys of [timeouts] that differ here.", {"first_byte": "5m"})


class RouteTable(ForwardingTable):
    """Other rules for one path prefix of a site. What is not set here is as in the site."""

    path: kinds.Path = key(
        "The prefix. The longest one at a segment boundary wins, whatever the order; no match: the site "
        "itself.",
        "/socket.io/",
    )
    strip_prefix: kinds.Switch = key("Forward without the prefix.", True)


class SiteTable(ForwardingTable):
    """Names, and the app behind them. What is not set here is as at the top level."""

    domains: list[kinds.Domain] = key(
        'The exact names. `["*"]` is any Host, with any server name or none; not with mode `"acme"`.',
        ["app.example.com", "www.app.example.com"],
    )
    tls: TlsTable = key("Keys of [tls] that differ here.", {"mode": "off"})
    route: list[RouteTable] = key("Other rules for path prefixes.", [{"path": "/api/"}])


class Document(Table):
    """A whole `proxy.toml`."""

    server: ServerTable = key("Listeners, processes, and how they end.", {})
    timeouts: TimeoutsTable = key("Deadlines.", {})
    limits: LimitsTable = key("Bounds on what a client may send.", {})
    tls: TlsTable = key("Certificates.", {})
    client_ip: ClientIpTable = key("Whom to believe about a client's address.", {})
    firewall: FirewallTable = key("Who gets in.", {})
    rate_limit: RateLimitTable = key("One token bucket per client.", {})
    cache: CacheTable = key("The output cache.", {})
    log: LogTable = key("The access log, and the proxy's own log.", {})
    site: list[SiteTable] = key("The sites; at least one.", [{"domains": ["app.example.com"]}])
