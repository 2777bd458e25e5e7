"""From tables to values: what a route leaves out is as in its site, what a site leaves out as at the top.

A table overrides single keys of the table above it; header maps are joined, name by name. Where nothing is
overridden the very same object is used again, so that a thousand sites cost little memory and little time to
send to a worker.
"""

from collections.abc import Iterable
from dataclasses import replace
from posixpath import join
from typing import TYPE_CHECKING, Any, Final, TypeVar

from proxy.config.schema import (
    Config,
    HeaderMap,
    ListenAddress,
    Log,
    Route,
    Server,
    Site,
    Tls,
    UnixAddress,
    Upstream,
)
from proxy.config.site_tables import (
    INHERITED,
    Document,
    ForwardingTable,
    RouteTable,
    SiteTable,
    UpstreamTable,
)
from proxy.config.tables import ServerTable, Table, TlsTable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Value = TypeVar("_Value", bound="DataclassInstance")

_TLS_FILES: Final = ("ca_file", "storage", "certificate", "private_key")
_HEADER_MAPS: Final = ("set_request_headers", "set_response_headers")


def resolve(document: Document, folder: str) -> Config:
    """Return the configuration that tables stand for; relative paths in it begin at a folder."""
    tls = _tls(replace(Tls(), storage=join(folder, Tls().storage)), document.tls, folder)
    config = Config(
        server=_server(document.server, tls),
        log=_overlay(Log(), document.log, folder, ("access",)),
        client_ip=_overlay(Config().client_ip, document.client_ip),
        tls=tls,
        **{name: _overlay(getattr(Config(), name), getattr(document, name), folder) for name in INHERITED},
    )
    return replace(config, sites=tuple(_site(table, config, folder) for table in document.site or ()))


def given(table: Table | None) -> dict[str, Any]:
    """Return the keys that are written in a table, lists as tuples."""
    if table is None:
        return {}
    values = {name: getattr(table, name) for name in table.model_fields_set}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _overlay(base: _Value, table: Table | None, folder: str = "", files: Iterable[str] = ()) -> _Value:
    """Return a value with the keys of a table in place of its own; relative paths begin at a folder."""
    changes = given(table)
    for name in changes:
        if name in files:
            changes[name] = _located(changes[name], folder)
        elif name in ("allow", "deny"):
            changes[name] = tuple(_located_list(entry, folder) for entry in changes[name])
    return replace(base, **changes) if changes else base


def _located(path: str, folder: str) -> str:
    return path if path in ("", "stdout", "off") else join(folder, path)


def _located_list(entry: Any, folder: str) -> Any:
    return f"file:{join(folder, entry.removeprefix('file:'))}" if isinstance(entry, str) else entry


def _tls(base: Tls, table: TlsTable | None, folder: str) -> Tls:
    return _overlay(base, table, folder, _TLS_FILES)


def _server(table: ServerTable | None, tls: Tls) -> Server:
    server = _overlay(replace(Server(), admin=UnixAddress(path="admin.sock")), table)
    if isinstance(server.admin, ListenAddress):
        return server
    return replace(server, admin=UnixAddress(path=join(tls.storage, server.admin.path)))


def _site(table: SiteTable, config: Config, folder: str) -> Site:
    tls = _tls(config.tls, table.tls, folder)
    if not config.server.https and tls.mode != "off":
        tls = replace(tls, mode="off")  # nobody could ever ask for it
    base = Route(**{name: getattr(config, name) for name in INHERITED})
    whole = _route(base, table, folder)
    routes = sorted(
        (_sub_route(whole, route, folder) for route in table.route or ()),
        key=lambda route: (-len(route.path.rstrip("/")), route.path),
    )
    domains = tuple(table.domains or ())
    return Site(domains=domains, name=domains[0] if domains else "", tls=tls, routes=(*routes, whole))


def _sub_route(site: Route, table: RouteTable, folder: str) -> Route:
    """Return a route; one that says where to forward is not redirected with its site."""
    written = table.model_fields_set
    if "upstream" in written and "redirect" not in written:
        site = replace(site, redirect="")
    own_rate = table.rate_limit is not None and not {"rate", "burst"}.isdisjoint(
        table.rate_limit.model_fields_set
    )
    return replace(
        _route(site, table, folder),
        path=table.path or "",
        strip_prefix=bool(table.strip_prefix),
        own_rate=own_rate,
    )


def _route(base: Route, table: ForwardingTable, folder: str) -> Route:
    """Return a route with all that a site and a route may both say."""
    shared = ForwardingTable.model_fields
    changes = {
        name: value for name, value in given(table).items() if name in shared and name not in INHERITED
    }
    if "upstream" in changes:
        changes["upstream"] = tuple(_upstream(entry) for entry in changes["upstream"])
    if "upstream_ca_file" in changes:
        changes["upstream_ca_file"] = _located(changes["upstream_ca_file"], folder)
    for name in _HEADER_MAPS:
        if name in changes:
            changes[name] = _joined(getattr(base, name), changes[name])
    for name in INHERITED:
        changes[name] = _overlay(getattr(base, name), getattr(table, name), folder)
    return replace(base, **changes)


def _upstream(table: UpstreamTable) -> Upstream:
    changes = given(table)
    url: Upstream = changes.pop("url", Upstream(scheme="http"))
    return replace(url, **changes)


def _joined(base: HeaderMap, changes: dict[str, str]) -> HeaderMap:
    """Return the fields of a map and then those of another, which wins where both name the same field."""
    replaced = {name.lower() for name in changes}
    kept = tuple((name, value) for name, value in base if name.lower() not in replaced)
    return (*kept, *changes.items())
