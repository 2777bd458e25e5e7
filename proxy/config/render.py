"""From values back to what would stand in `proxy.toml`: for the admin interface, for differences, for documentation."""

import json
from dataclasses import fields
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin, get_type_hints

from proxy.config.addresses import format_listen, format_upstream
from proxy.config.findings import show_key
from proxy.config.quantities import format_duration, format_rate, format_size
from proxy.config.schema import Config, ListenAddress, Rate, Route, Site, Unit, UnixAddress, Upstream

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MASK: Final = "********"
SECTIONS: Final = ("firewall", "rate_limit", "limits", "cache", "timeouts")
TABLES: Final = (
    "server",
    "timeouts",
    "limits",
    "tls",
    "client_ip",
    "firewall",
    "rate_limit",
    "cache",
    "log",
)
_HEADER_MAPS: Final = ("set_request_headers", "set_response_headers")


def document(config: Config, *, mask: bool) -> dict[str, Any]:
    """Return a whole configuration as a TOML document; sites and routes hold only what differs from around them.

    Without `mask`, parsing it again gives the same configuration.
    """
    result: dict[str, Any] = {name: table(getattr(config, name), mask=mask) for name in TABLES}
    result["server"]["admin"] = _admin(config)
    base = Route(**{name: getattr(config, name) for name in SECTIONS})
    result["site"] = [_site(site, config, base, mask) for site in config.sites]
    return result


def table(
    values: "DataclassInstance", base: "DataclassInstance | None" = None, *, mask: bool
) -> dict[str, Any]:
    """Return a section as a TOML table, or only what in it differs from another one."""
    names = [item.name for item in fields(values)]
    differing = [n for n in names if base is None or getattr(values, n) != getattr(base, n)]
    return {name: written(values, name, mask=mask) for name in differing}


def written(values: "DataclassInstance", name: str, *, mask: bool) -> Any:
    """Return one value of a section as it would stand in the file."""
    value = getattr(values, name)
    unit = _unit(get_type_hints(type(values), include_extras=True)[name])
    if name in _HEADER_MAPS:
        hidden = mask and unit is Unit.SECRET_VALUES
        return {field: MASK if hidden and content else content for field, content in value}
    if mask and value and unit is Unit.SECRET:
        return MASK
    if name == "rate":
        return format_rate(value)
    return _plain(value, unit)


def _plain(value: Any, unit: Unit | None) -> Any:
    match value:
        case None:
            return ""
        case float() | int() if unit is Unit.DURATION:
            return format_duration(value)
        case int() if unit is Unit.SIZE:
            return format_size(value)
        case tuple():
            return [_plain(item, unit) for item in value]
        case ListenAddress():
            return format_listen(value)
        case UnixAddress():
            return f"unix:{value.path}"
        case Rate():
            return format_rate(value)
        case Upstream():
            return _upstream(value)
        case IPv4Network() | IPv6Network():
            return str(value)
        case _:
            return value


def _unit(hint: Any) -> Unit | None:
    if get_origin(hint) is Annotated:
        return next((part for part in hint.__metadata__ if isinstance(part, Unit)), None)
    return next((unit for part in get_args(hint) if (unit := _unit(part))), None)


def _upstream(upstream: Upstream) -> str | dict[str, Any]:
    url = format_upstream(upstream)
    if upstream.weight == 1 and not upstream.backup:
        return url
    return {"url": url, "weight": upstream.weight, "backup": upstream.backup}


def _admin(config: Config) -> str:
    """Return the admin address; the socket stands relative to the storage, as it does in the file."""
    admin = config.server.admin
    if isinstance(admin, UnixAddress):
        return f"unix:{admin.path.removeprefix(config.tls.storage.rstrip('/') + '/')}"
    return format_listen(admin)


def _site(site: Site, config: Config, base: Route, mask: bool) -> dict[str, Any]:
    whole = site.routes[-1]
    result: dict[str, Any] = {"domains": list(site.domains), **_route(whole, base, mask)}
    if site.tls != config.tls:
        result["tls"] = table(site.tls, config.tls, mask=mask)
    routes = [{"path": route.path, **_route(route, whole, mask)} for route in site.routes[:-1]]
    return {**result, "route": routes} if routes else result


def _route(route: Route, base: Route, mask: bool) -> dict[str, Any]:
    result = table(route, base, mask=mask)
    for name in ("path", "own_rate", *SECTIONS):
        result.pop(name, None)
    for name in _HEADER_MAPS:
        if name in result:
            new = {field for field, _ in set(getattr(route, name)) - set(getattr(base, name))}
            result[name] = {field: content for field, content in result[name].items() if field in new}
    for name in SECTIONS:
        if changes := table(getattr(route, name), getattr(base, name), mask=mask):
            result[name] = changes
    if route.own_rate:
        result.setdefault("rate_limit", {}).setdefault("rate", format_rate(route.rate_limit.rate))
    return result


def toml_literal(value: Any) -> str:
    """Write a value as TOML, tables in braces."""
    match value:
        case list():
            return f"[{', '.join(toml_literal(item) for item in value)}]"
        case dict():
            pairs = (f"{show_key(name)} = {toml_literal(item)}" for name, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case _:
            return json.dumps(
                value, ensure_ascii=False
            )  # TOML's basic strings, numbers and booleans are JSON's
