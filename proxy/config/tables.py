"""The tables of `proxy.toml` as they stand in the file, with the meaning of every key.

These are the one place that says which keys there are and what they mean: the loader validates with them,
and the JSON Schema and the reference page are made of them. A key that is not written stays unset; defaults
stand in `schema`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from proxy.config import kinds


def key(description: str, example: Any) -> Any:
    """Describe a key; what the operator did not write stays out of `model_fields_set`."""
    return Field(default=None, description=description, examples=[example])


class Table(BaseModel):
    """A table of the file: unknown keys are errors, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class ServerTable(Table):
    """Listeners, processes, and how they end."""

    http: list[kinds.Listen] = key(
        'Where to listen for http; `[]` to switch it off. `":80"` is every IPv6 and IPv4 address (IPv4 '
        "alone where IPv6 is off); port 0 takes any free port.",
        [":80"],
    )
    https: list[kinds.Listen] = key(
        "Where to listen for https; `[]` to switch it off, and TLS with it, for every site.", [":443"]
    )
    metrics: kinds.Metrics = key(
        'Where `/metrics`, `/healthz` and `/readyz` are served, read-only, for any Host; `""` to switch '
        "them off. Where it is not written `$FOREGATE_METRICS` counts, which the container image sets to "
        '`":9145"`.',
        "127.0.0.1:9145",
    )
    admin: kinds.Admin = key(
        "Where everything else of the admin interface is served: a unix socket with mode 0600, relative to "
        "`tls.storage`, or an address, which requires `admin_token`.",
        "unix:admin.sock",
    )
    admin_token: kinds.Secret = key(
        "The bearer token that admin requests over TCP must carry, of 16 characters or more.",
        "${ADMIN_TOKEN}",
    )
    workers: kinds.Workers = key(
        'How many worker processes; `"auto"` is one per CPU that this process may use, by affinity and '
        "cgroup quota.",
        2,
    )
    user: kinds.User = key(
        "The user to become after binding when started as root; empty: `nobody`, or the owner of the "
        "storage.",
        "foregate",
    )
    proxy_protocol: list[kinds.Cidr] = key(
        "Peers that must begin every connection with a PROXY protocol header (v1 or v2); the address that "
        "it names replaces theirs.",
        ["10.0.0.0/8"],
    )
    redirect_https: kinds.Switch = key(
        "Redirect http to https for sites with TLS: 308, or 307 while a site has no valid certificate yet.",
        False,
    )
    drain_timeout: kinds.Duration = key(
        "How long a stopping proxy lets requests in flight finish. Docker kills after 10 s.", "20s"
    )
    linger: kinds.Duration = key("How long a replaced worker stays for its WebSockets and streams.", "6h")
    max_connections: Annotated[int, kinds.number(0, 10_000_000)] = key(
        "How many client connections in all; 0: as many as the descriptor limit allows. At the limit the "
        "keep-alive connection that has been idle for longest is closed.",
        20_000,
    )


class TimeoutsTable(Table):
    """Deadlines: of the whole (`hello`, `head`, `connect`, `first_byte`), or of a gap without a byte (others)."""

    hello: kinds.Wait = key("The TLS handshake, without its wait for a certificate.", "5s")
    head: kinds.Wait = key("The head of a request.", "5s")
    idle: kinds.Wait = key("A kept-alive connection between two requests.", "2m")
    body: kinds.Wait = key("A gap while the client sends a body.", "60s")
    send: kinds.Wait = key("The client takes nothing of a response.", "2m")
    connect: kinds.Wait = key("A connection to the upstream.", "1s")
    first_byte: kinds.Wait = key("From the request to the first byte of the upstream's response.", "5m")
    read: kinds.Wait = key(
        "A gap in the upstream's response. Does not apply to upgraded connections and event streams.", "10m"
    )
    upgraded_idle: kinds.Wait = key("A gap in both directions of a WebSocket or another upgrade.", "10h")
    keepalive_upstream: kinds.Duration = key(
        "How long an idle connection to the upstream is kept for reuse. Less than the app's own time, which "
        "is 5 s in Node and uvicorn.",
        "60s",
    )


class LimitsTable(Table):
    """Bounds on what a client may send."""

    head_size: Annotated[int, kinds.size(1024, 1024**2)] = key(
        "The largest head of a request; more is answered 431.", "64KB"
    )
    fields: Annotated[int, kinds.number(1, 10_000)] = key(
        "The most field lines in a head; more is answered 431.", 200
    )
    body: Annotated[int, kinds.size(1)] = key(
        "The largest body of a request; more is answered 413, before anything reaches the upstream where "
        "Content-Length says so.",
        "1GB",
    )
    min_rate: Annotated[int, kinds.size(0, 1024**3)] = key(
        'The least bytes per second, both ways, after 30 s of transfer; `"0B"` to switch it off.', "0B"
    )
    connections_per_ip: Annotated[int, kinds.number(1, 10_000_000)] = key(
        "How many connections one address may hold. Trusted peers and the container's gateway are excepted.",
        1000,
    )


class TlsTable(Table):
    """Certificates."""

    mode: Annotated[str, kinds.choice("acme", "self-signed", "files", "off")] = key(
        "Where certificates come from: an ACME CA (whose terms are accepted), the local CA in the storage, "
        "two files, or nowhere (plain http only).",
        "self-signed",
    )
    email: kinds.Email = key("An address for the CA; sent only when given.", "ops@example.com")
    directory: kinds.Directory = key("The ACME directory, by short name or URL.", "letsencrypt-staging")
    ca_file: kinds.File = key(
        "CA certificates to trust for the directory's own https, for private CAs.", "/etc/ssl/private-ca.pem"
    )
    storage: kinds.Folder = key(
        "Where certificates, account keys and the admin socket are kept. Relative paths are relative to the "
        "configuration file. Where it is not written `$FOREGATE_STORAGE` counts, which the container image sets to "
        "`/var/lib/foregate`.",
        "/var/lib/foregate",
    )
    profile: kinds.Text = key("The certificate profile to ask the CA for.", "shortlived")
    key_type: Annotated[str, kinds.choice("p256", "p384", "rsa2048")] = key(
        "The kind of key for new certificates.", "rsa2048"
    )
    group: kinds.Switch = key(
        "`false`: one certificate per name; `true`: one per site, so that one bad name fails the site.", True
    )
    eab_kid: kinds.Text = key("External account binding: the key identifier that the CA gave.", "kid-1")
    eab_hmac_key: kinds.HmacKey = key(
        "External account binding: the key that the CA gave, in base64url.", "${EAB_HMAC_KEY}"
    )
    hold: Annotated[float, kinds.duration(0, 300)] = key(
        "How long a handshake waits for a certificate that is being issued.", "5s"
    )
    passthrough_challenges: kinds.Switch = key("`true`: ACME challenges go to the app.", True)
    min_version: Annotated[str, kinds.choice("1.2", "1.3")] = key("The oldest version of TLS.", "1.3")
    hsts: kinds.OptionalDuration = key(
        "The max-age of a Strict-Transport-Security field; empty: no such field.", "180d"
    )
    certificate: kinds.File = key(
        'The certificate with its chain (PEM), for mode `"files"`.', "tls/fullchain.pem"
    )
    private_key: kinds.File = key('The private key (PEM), for mode `"files"`.', "tls/privkey.pem")


class ClientIpTable(Table):
    """Whom to believe about a client's address."""

    trusted: list[kinds.Trusted] = key(
        'Peers whose `header` is believed: networks, `"cloudflare"`, or `"private"` (private networks, '
        "never our own default gateway).",
        ["cloudflare"],
    )
    header: Annotated[
        str, kinds.choice("x-forwarded-for", "cf-connecting-ip", "x-real-ip", "forwarded", ignore_case=True)
    ] = key("The field that names the client; lists are read from the right.", "cf-connecting-ip")


class FirewallTable(Table):
    """Who gets in. Everyone else is answered 403."""

    allow: list[kinds.FirewallEntry] = key(
        'Networks that are admitted, or `"file:PATH"` with one a line; empty: everyone.', ["192.0.2.0/24"]
    )
    deny: list[kinds.FirewallEntry] = key(
        'Networks that are refused, or `"file:PATH"` with one a line; it wins over `allow`.',
        ["file:blocked.txt"],
    )


class RateLimitTable(Table):
    """One token bucket per client. What exceeds it is answered 429."""

    rate: kinds.RateText = key(
        'Requests per second, minute or hour; `"off"` to switch the limit off.', "10/s"
    )
    burst: Annotated[int, kinds.number(1, 1_000_000)] = key(
        "How many requests may come at once from a full bucket; then one per interval of the rate.", 50
    )
    per: Annotated[str, kinds.choice("site", "proxy")] = key(
        '`"site"`: one bucket per client and site; `"proxy"`: one per client. A route with its own rate '
        "has its own.",
        "proxy",
    )
    ipv6_prefix: Annotated[int, kinds.number(1, 128)] = key(
        "How long a prefix counts as one IPv6 client.", 56
    )
    exempt: list[kinds.Cidr] = key("Networks without a limit.", ["10.0.0.0/8"])
    exempt_paths: list[kinds.Path] = key("Path prefixes without a limit.", ["/static/"])
    dry_run: kinds.Switch = key("Count and log what would be limited, and let it pass.", True)


class CacheTable(Table):
    """The output cache, for GET and HEAD."""

    ttl: kinds.Duration = key('How long an answer is served; `"0s"` to switch the cache off.', "10s")
    size: Annotated[int, kinds.size(256 * 1024, 64 * 1024**3)] = key(
        "The memory for all answers, shared by all workers.", "256MB"
    )
    object_size: Annotated[int, kinds.size(1, 1024**3)] = key("The largest answer that is kept.", "4MB")
    credentials: Annotated[str, kinds.choice("key", "bypass")] = key(
        'Requests that carry credentials: `"key"` (cached for that credential alone) or `"bypass"` (never '
        "cached).",
        "bypass",
    )
    ignore_cookies: list[kinds.CookieGlob] = key(
        "Cookies that the app does not look at and that do not belong to the cache key; `*` stands for any "
        "characters.",
        ["_ga", "_ga_*", "consent"],
    )
    neutral_fields: list[kinds.NeutralField] = key(
        "Further request fields that do not belong to the cache key.", ["x-client-version"]
    )
    key_client_address: kinds.Switch = key(
        "`true` where the app's answers depend on the client's address.", True
    )
    wait: Annotated[float, kinds.duration(0, 3600)] = key(
        "How long a request waits for another's fetch of the same.", "2s"
    )
    grace: kinds.Duration = key("How long a stale answer may be served while the upstream fails.", "5m")


class LogTable(Table):
    """The access log, and the proxy's own log."""

    format: Annotated[str, kinds.choice("json", "combined")] = key(
        'The form of the access log; the proxy\'s own log is text with `"combined"`, JSON too with `"json"`.',
        "combined",
    )
    access: kinds.AccessLog = key(
        'Where the access log goes: `"stdout"`, `"off"`, or a file, which is reopened on SIGUSR1.',
        "/var/log/foregate/access.log",
    )
    level: Annotated[str, kinds.choice("debug", "info", "warning", "error")] = key(
        "The least severe event to log.", "debug"
    )
    redact_query: list[kinds.Parameter] = key(
        "Query parameters whose values are never logged.", ["token", "session"]
    )
