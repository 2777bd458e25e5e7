"""What nginx's directives around a request say, as keys of a site or route.

nginx looks for a directive in the location, then in the server, then in http.  Those that form a list (fields,
access rules, limits) are taken from the innermost block that has any of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from proxy.config.quantities import parse_duration
from proxy.importing.draft import Notes, Table
from proxy.importing.nginx.guards import Levels, guard
from proxy.importing.nginx.known import FORWARDING_FIELDS, GUARD_DETAILS, GUARDS, NEEDLESS, why_left_out
from proxy.importing.nginx.servers import is_to_https
from proxy.importing.nginx.tree import Directive
from proxy.importing.nginx.values import UnclearError, duration, expanded, octets, size

_UNLIMITED: Final = "1024TB"
_HOUR: Final = 3600
_HOP_BY_HOP: Final = ("connection", "upgrade")
_HOSTS: Final = frozenset(("$host", "$http_host", "$host:$server_port", "$host:$proxy_port", "${host}"))
_LISTS: Final = frozenset(("proxy_set_header", "add_header", "proxy_hide_header", "limit_req"))
# Handled where servers, locations and upstreams are read.
_ELSEWHERE: Final = frozenset(
    (
        *("location", "server", "server_name", "listen", "proxy_pass", "return", "set", "upstream", "http"),
        *(
            "ssl_certificate",
            "ssl_certificate_key",
            "ssl_protocols",
            "limit_req_zone",
            "http2",
            "set_real_ip_from",
        ),
        *("real_ip_header", "keepalive_timeout", "client_header_timeout", "large_client_header_buffers"),
        *("limit_req_dry_run", "proxy_cache_valid", "access_log", "proxy_protocol", "allow", "deny"),
    )
)


@dataclass(frozen=True, slots=True)
class Zone:
    """A limit_req_zone: what it counts by, and its rate as in proxy.toml."""

    key: str
    rate: str


@dataclass(slots=True)
class Surroundings:
    """What a location's directives may refer to."""

    notes: Notes
    zones: Mapping[str, Zone] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    # Rewrites that a route can say with strip_prefix.
    stripping: set[Directive] = field(default_factory=set)


def settings(levels: Levels, around: Surroundings) -> Table:
    """Return the keys of a route that the directives of nested blocks, the outermost first, amount to."""
    result: Table = {}
    in_force = _in_force(levels)
    for directive in in_force:
        try:
            _SINGLE.get(directive.name, _unknown)(directive, result, around)
        except UnclearError as exc:
            around.notes.left_out(directive.place, directive.text, str(exc))
        except IndexError:
            around.notes.left_out(directive.place, directive.text, "it lacks an argument")
    last = {
        directive.name: directive
        for directive in in_force
        if directive.name in ("proxy_cache", "limit_req_dry_run")
    }
    if "proxy_cache" in last and last["proxy_cache"].first != "off":
        _lifetime(in_force, result, around)
    if "rate_limit" in result and "limit_req_dry_run" in last and last["limit_req_dry_run"].first == "on":
        result["rate_limit"]["dry_run"] = True
    guard(levels, result, around.notes)
    return result


def _lifetime(in_force: Sequence[Directive], result: Table, around: Surroundings) -> None:
    """Take over for how long the cache keeps ordinary answers."""
    for directive in in_force:
        *codes, time = directive.arguments or ("",)
        if directive.name != "proxy_cache_valid":
            continue
        if not codes or {"200", "any"} & set(codes):
            try:
                _section(result, "cache")["ttl"] = duration(time)
            except UnclearError as exc:
                around.notes.left_out(directive.place, directive.text, str(exc))
        else:
            around.notes.left_out(directive.place, directive.text, "one lifetime is for all statuses")


def _in_force(levels: Levels) -> list[Directive]:
    """Return the directives that count in the innermost block, the outermost first."""
    found: list[Directive] = []
    hidden: set[str] = set()
    for level in reversed(levels):
        found[:0] = [directive for directive in level if directive.name not in hidden]
        hidden |= _LISTS & {directive.name for directive in level}
    return found


_Handler: TypeAlias = Callable[[Directive, Table, Surroundings], None]


def _section(result: Table, name: str) -> Table:
    table: Table = result.setdefault(name, {})
    return table


def _value(section: str, keys: tuple[str, ...], convert: Callable[[str], Any]) -> _Handler:
    def handle(directive: Directive, result: Table, _around: Surroundings) -> None:
        value = convert(directive.arguments[0])
        _section(result, section).update(dict.fromkeys(keys, value))

    return handle


def _body_size(directive: Directive, result: Table, _around: Surroundings) -> None:
    unlimited = octets(directive.first) == 0
    _section(result, "limits")["body"] = _UNLIMITED if unlimited else size(directive.first)


def _read_timeout(directive: Directive, result: Table, _around: Surroundings) -> None:
    value = duration(directive.arguments[0])
    timeouts = _section(result, "timeouts")
    timeouts.update(first_byte=value, read=value)
    if parse_duration(value, most=float("inf")) > _HOUR:
        timeouts["upgraded_idle"] = value  # nginx counts it for WebSockets, too


def _request_field(directive: Directive, result: Table, around: Surroundings) -> None:
    name, value = directive.arguments[0], directive.arguments[1]
    if name.lower() == "host":
        _host(directive, value, result, around)
    elif name.lower() in FORWARDING_FIELDS and value and "$" not in value and name.lower() not in _HOP_BY_HOP:
        reason = "Foregate sets it from what it sees, and from what a proxy in front says (client_ip.trusted)"
        around.notes.left_out(directive.place, directive.text, reason)
    elif name.lower() in FORWARDING_FIELDS:
        around.notes.needless("", f"proxy_set_header {name}", "Foregate sets it from what it sees")
    else:
        _section(result, "set_request_headers")[name] = expanded(value, around.variables).strip()


def _host(directive: Directive, value: str, result: Table, around: Surroundings) -> None:
    if value in _HOSTS:
        result["host"] = "preserve"
    elif value in ("$proxy_host", "${proxy_host}"):
        result["host"] = "upstream"
    else:
        result["host"] = "upstream"
        reason = 'the Host is the client\'s (host = "preserve") or the upstream\'s own (host = "upstream", as here)'
        around.notes.changed(directive.place, directive.text, reason)


def _response_field(directive: Directive, result: Table, around: Surroundings) -> None:
    value = expanded(directive.arguments[1], around.variables).strip()
    _section(result, "set_response_headers")[directive.arguments[0]] = value
    around.notes.changed(
        "", "add_header", "Foregate sets these fields on answers of every status, in place of the app's"
    )


def _hidden_field(directive: Directive, result: Table, _around: Surroundings) -> None:
    _section(result, "set_response_headers").setdefault(directive.arguments[0], "")


def _limit(directive: Directive, result: Table, around: Surroundings) -> None:
    options = dict(argument.partition("=")[::2] for argument in directive.arguments)
    zone = around.zones.get(options.get("zone", ""))
    if zone is None:
        raise UnclearError("there is no limit_req_zone of that name that can be carried over")
    if "rate_limit" in result:
        raise UnclearError("there is one limit for a path; the first of several was taken")
    burst = int(options["burst"]) if options.get("burst", "").isdigit() else 0
    result["rate_limit"] = {"rate": zone.rate, "burst": burst + 1}
    around.notes.changed(
        directive.place,
        directive.text,
        "what exceeds it is answered 429 at once; nginx may delay it, or answer 503",
    )


def _cached(directive: Directive, result: Table, around: Surroundings) -> None:
    if directive.first == "off":
        around.notes.changed(
            directive.place,
            directive.text,
            'GET is cached for 3 s all the same; cache = { ttl = "0s" } switches it off',
        )
        return
    around.notes.changed(
        directive.place, directive.text, "the cache is Foregate's, in memory and per user, see docs/cache.md"
    )


def _rewrite(directive: Directive, _result: Table, around: Surroundings) -> None:
    is_redirect = directive.arguments[1].startswith(("http://", "https://", "$scheme://"))
    if not is_redirect and directive not in around.stripping:
        around.notes.left_out(directive.place, directive.text, why_left_out("rewrite"))


def _verify(directive: Directive, _result: Table, around: Surroundings) -> None:
    if directive.first == "off":
        around.notes.left_out(
            directive.place, directive.text, "the certificate of an https upstream is always verified"
        )


def _proxy_redirect(directive: Directive, _result: Table, around: Surroundings) -> None:
    if directive.first not in ("off", "default"):
        around.notes.left_out(directive.place, directive.text, why_left_out("proxy_redirect"))


def _condition(directive: Directive, _result: Table, around: Surroundings) -> None:
    if is_to_https(directive):
        around.notes.needless("", "if ... return 301 https://", "Foregate redirects by itself")
    else:
        inner = "; ".join(found.text for found in directive.block)
        around.notes.left_out(directive.place, f"{directive.text} {{ {inner} }}", why_left_out("if"))


def _map(directive: Directive, _result: Table, around: Surroundings) -> None:
    if directive.first == "$http_upgrade":
        around.notes.needless("", "map $http_upgrade", "WebSockets work by themselves")
    else:
        around.notes.left_out(directive.place, directive.text, why_left_out("map"))


def _off_is_fine(directive: Directive, _result: Table, around: Surroundings) -> None:
    if directive.first != "off":
        around.notes.left_out(directive.place, directive.text, why_left_out(directive.name))


def _text_key(key: str) -> _Handler:
    def handle(directive: Directive, result: Table, around: Surroundings) -> None:
        result[key] = expanded(directive.arguments[0], around.variables)

    return handle


def _unknown(directive: Directive, _result: Table, around: Surroundings) -> None:
    if directive.name in NEEDLESS:
        around.notes.needless("", directive.name, NEEDLESS[directive.name])
    elif directive.name not in _ELSEWHERE and directive.name not in GUARDS | GUARD_DETAILS:
        around.notes.left_out(directive.place, directive.text, why_left_out(directive.name))


_SINGLE: Final[Mapping[str, _Handler]] = {
    "client_max_body_size": _body_size,
    "client_body_timeout": _value("timeouts", ("body",), duration),
    "send_timeout": _value("timeouts", ("send",), duration),
    "proxy_connect_timeout": _value("timeouts", ("connect",), duration),
    "proxy_read_timeout": _read_timeout,
    "proxy_set_header": _request_field,
    "add_header": _response_field,
    "proxy_hide_header": _hidden_field,
    "limit_req": _limit,
    "proxy_cache": _cached,
    "rewrite": _rewrite,
    "proxy_ssl_verify": _verify,
    "proxy_ssl_trusted_certificate": _text_key("upstream_ca_file"),
    "proxy_ssl_name": _text_key("upstream_server_name"),
    "proxy_redirect": _proxy_redirect,
    "if": _condition,
    "map": _map,
    "gzip": _off_is_fine,
    "proxy_intercept_errors": _off_is_fine,
    "autoindex": _off_is_fine,
    "etag": _off_is_fine,
}
