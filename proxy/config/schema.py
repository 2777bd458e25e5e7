"""The configuration as values: what every part of Foregate is built from.

Theory of operation.  The loader turns `proxy.toml` into one `Config`, an immutable snapshot.  Field names
are the keys of the file; durations are seconds, sizes are octets, and every value of a route is already
resolved (top level, then site, then route), so that no reader ever looks anything up twice.  The defaults
of the public contract stand here and nowhere else.  Workers get these values from the supervisor: this
module imports only the standard library.

An `Annotated` unit says how a value is written in the file; `render` reads it.
"""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final, Literal, TypeAlias


class Unit(Enum):
    """How a value is written in `proxy.toml`."""

    DURATION = "duration"
    SIZE = "size"
    SECRET = "secret"  # noqa: S105 (a kind of value, not a password)
    SECRET_VALUES = "header values that may be secrets"  # noqa: S105


Network: TypeAlias = IPv4Network | IPv6Network
Seconds: TypeAlias = Annotated[float, Unit.DURATION]
Octets: TypeAlias = Annotated[int, Unit.SIZE]
Secret: TypeAlias = Annotated[str, Unit.SECRET]
HeaderMap: TypeAlias = tuple[tuple[str, str], ...]

LETSENCRYPT_DIRECTORIES: Final = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where to listen. Host "" is every address of both families; port 0 is any free port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """A unix socket by its path."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many requests in so many seconds."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """[server]: listeners, processes and how they end."""

    http: tuple[ListenAddress, ...] = (ListenAddress(host="", port=80),)
    https: tuple[ListenAddress, ...] = (ListenAddress(host="", port=443),)
    metrics: ListenAddress | None = ListenAddress(host="127.0.0.1", port=9145)
    admin: ListenAddress | UnixAddress = UnixAddress(path="ssl_data/admin.sock")
    admin_token: Secret = ""
    workers: int | Literal["auto"] = "auto"
    user: str = ""
    proxy_protocol: tuple[Network, ...] = ()
    redirect_https: bool = True
    drain_timeout: Seconds = 8.0
    linger: Seconds = 3600.0
    max_connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """[timeouts]: hello, head, connect and first_byte bound the whole, the others a gap without an octet."""

    hello: Seconds = 10.0
    head: Seconds = 10.0
    idle: Seconds = 75.0
    body: Seconds = 30.0
    send: Seconds = 60.0
    connect: Seconds = 3.0
    first_byte: Seconds = 60.0
    read: Seconds = 60.0
    upgraded_idle: Seconds = 3600.0
    keepalive_upstream: Seconds = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """[limits]: octets and counts; min_rate is octets per second, 0 for none."""

    head_size: Octets = 32 * 1024
    fields: int = 100
    body: Octets = 100 * 1024 * 1024
    min_rate: Octets = 500
    connections_per_ip: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """[tls]: where certificates come from. hsts is a max-age in seconds, None for no such field."""

    mode: Literal["acme", "self-signed", "files", "off"] = "acme"
    email: str = ""
    directory: str = "letsencrypt"
    ca_file: str = ""
    storage: str = "ssl_data"
    profile: str = ""
    key_type: Literal["p256", "p384", "rsa2048"] = "p256"
    group: bool = False
    eab_kid: str = ""
    eab_hmac_key: Secret = ""
    hold: Seconds = 15.0
    passthrough_challenges: bool = False
    min_version: Literal["1.2", "1.3"] = "1.2"
    hsts: Seconds | None = None
    certificate: str = ""
    private_key: str = ""

    @property
    def directory_url(self) -> str:
        """Return the URL of the ACME directory, whichever way it is named."""
        return LETSENCRYPT_DIRECTORIES.get(self.directory, self.directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIp:
    """[client_ip]: whom to believe about a client's address. trusted may name "cloudflare", "private"."""

    trusted: tuple[Network | str, ...] = ()
    header: Literal["x-forwarded-for", "cf-connecting-ip", "x-real-ip", "forwarded"] = "x-forwarded-for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """[firewall]: networks, or "file:PATH" with one a line. An empty allow admits everyone."""

    allow: tuple[Network | str, ...] = ()
    deny: tuple[Network | str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """[rate_limit]: one token bucket per client. rate None is no limit."""

    rate: Rate | None = Rate(count=150, seconds=60)
    burst: int = 150
    per: Literal["site", "proxy"] = "site"
    ipv6_prefix: int = 64
    exempt: tuple[Network, ...] = ()
    exempt_paths: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """[cache]: the output cache. ttl 0 switches it off."""

    ttl: Seconds = 3.0
    size: Octets = 64 * 1024 * 1024
    object_size: Octets = 1024 * 1024
    credentials: Literal["key", "bypass"] = "key"
    ignore_cookies: tuple[str, ...] = ("_ga", "_ga_*", "_gid", "_gat", "_gat_*", "_fbp", "_gcl_au", "__utm*")
    neutral_fields: tuple[str, ...] = ()
    key_client_address: bool = False
    wait: Seconds = 5.0
    grace: Seconds = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """[log]: access log and the proxy's own log. access is "stdout", "off" or a path."""

    format: Literal["json", "combined"] = "json"
    access: str = "stdout"
    level: Literal["debug", "info", "warning", "error"] = "info"
    redact_query: tuple[str, ...] = (
        "token",
        "access_token",
        "key",
        "api_key",
        "password",
        "secret",
        "code",
        "signature",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One configured address of an app: host (IPv6 without brackets) and port, or for scheme unix a path."""

    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""
    weight: int = 1
    backup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What happens to requests under one path prefix of a site; the site itself is the route with path ""."""

    path: str = ""
    upstream: tuple[Upstream, ...] = ()
    upstream_ca_file: str = ""
    upstream_server_name: str = ""
    balance: Literal["least_connections", "round_robin", "client_ip"] = "least_connections"
    host: Literal["preserve", "upstream"] = "preserve"
    health: str = ""
    health_interval: Seconds = 10.0
    upgrade: tuple[str, ...] = ("websocket",)
    redirect: str = ""
    set_request_headers: Annotated[HeaderMap, Unit.SECRET_VALUES] = ()
    set_response_headers: HeaderMap = ()
    strip_prefix: bool = False
    firewall: Firewall = field(default_factory=Firewall)
    rate_limit: RateLimit = field(default_factory=RateLimit)
    own_rate: bool = False
    limits: Limits = field(default_factory=Limits)
    cache: Cache = field(default_factory=Cache)
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Names that are served alike: lower-case A-labels, IP addresses as in a URL, or ("*",).

    Routes stand longest path first; the last one is the site itself.
    """

    domains: tuple[str, ...]
    name: str
    tls: Tls = field(default_factory=Tls)
    routes: tuple[Route, ...] = field(default_factory=lambda: (Route(),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One immutable snapshot of `proxy.toml`; sites in the order of the file."""

    server: Server = field(default_factory=Server)
    log: Log = field(default_factory=Log)
    client_ip: ClientIp = field(default_factory=ClientIp)
    tls: Tls = field(default_factory=Tls)
    firewall: Firewall = field(default_factory=Firewall)
    rate_limit: RateLimit = field(default_factory=RateLimit)
    limits: Limits = field(default_factory=Limits)
    cache: Cache = field(default_factory=Cache)
    timeouts: Timeouts = field(default_factory=Timeouts)
    sites: tuple[Site, ...] = ()
