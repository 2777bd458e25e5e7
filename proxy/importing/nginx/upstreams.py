"""nginx's upstream blocks and proxy_pass, as upstreams of a route."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.config.addresses import parse_upstream
from proxy.config.errors import UnacceptableError
from proxy.importing.draft import Notes, Table
from proxy.importing.nginx.known import NEEDLESS
from proxy.importing.nginx.settings import Surroundings
from proxy.importing.nginx.tree import Directive
from proxy.importing.nginx.values import UnclearError, duration, expanded, target

_BALANCE: Final = {"least_conn": "least_connections", "ip_hash": "client_ip"}
_HARMLESS_OPTIONS: Final = frozenset(("resolve", "max_fails", "fail_timeout", "slow_start"))
# Variables at the end of proxy_pass that stand for the path as the client sent it.
_WHOLE_PATH: Final = ("$request_uri", "$uri$is_args$args", "${request_uri}")


def route_to(
    directive: Directive, blocks: Mapping[str, Directive], around: Surroundings
) -> tuple[Table, str | None]:
    """Return the keys of a route that a proxy_pass amounts to, and the path that it puts in place of the location's.

    Raises UnclearError.
    """
    text = directive.first
    whole = next((end for end in _WHOLE_PATH if text.endswith(end)), "")
    found = target(expanded(text.removesuffix(whole), around.variables))
    if whole and found.uri not in (None, "/"):
        raise UnclearError("Foregate passes the path on as it is, and strips a prefix at most")
    block = blocks.get(found.authority)
    keys = {"upstream": found.url} if block is None else _group(block, found.scheme, around.notes)
    for url in _urls(keys["upstream"]):
        try:
            parse_upstream(url)
        except UnacceptableError as exc:
            raise UnclearError(f"expected {exc.expected}") from exc
    if found.scheme == "https":
        around.notes.changed(
            "", "proxy_pass https://...", "Foregate verifies the upstream's certificate, see upstream_ca_file"
        )
    return keys, None if whole else found.uri


def _urls(upstream: Any) -> list[str]:
    entries = upstream if isinstance(upstream, list) else [upstream]
    return [entry["url"] if isinstance(entry, dict) else entry for entry in entries]


def _group(block: Directive, scheme: str, notes: Notes) -> Table:
    """Return the keys that an upstream block amounts to."""
    entries = [
        entry for server in block.all("server") if (entry := _server(server, scheme, notes)) is not None
    ]
    if not entries:
        raise UnclearError(f"the upstream {block.first} has no server that can be carried over")
    keys: Table = {"upstream": entries[0] if len(entries) == 1 else entries}
    if len(entries) > 1:
        keys["balance"] = "round_robin"
    handlers: Mapping[str, Callable[[Directive, Table], None]] = {"keepalive_timeout": _keepalive}
    for directive in block.block:
        if directive.name in _BALANCE:
            keys["balance"] = _BALANCE[directive.name]
        elif directive.name in handlers:
            handlers[directive.name](directive, keys)
        elif directive.name in NEEDLESS:
            notes.needless("", directive.name, NEEDLESS[directive.name])
        elif directive.name != "server":
            notes.left_out(
                directive.place, directive.text, "balance is least_connections, round_robin or client_ip"
            )
    return keys


def _keepalive(directive: Directive, keys: Table) -> None:
    keys["timeouts"] = {"keepalive_upstream": duration(directive.first)}


def _server(directive: Directive, scheme: str, notes: Notes) -> str | Table | None:
    address = directive.first
    url = address if address.startswith("unix:") else f"{scheme}://{address}"
    entry: Table = {"url": url}
    for option in directive.arguments[1:]:
        name, _, value = option.partition("=")
        if option == "down":
            notes.left_out(directive.place, directive.text, "it is marked as down")
            return None
        if option == "backup":
            entry["backup"] = True
        elif name == "weight" and value.isdigit():
            entry["weight"] = int(value)
        elif name not in _HARMLESS_OPTIONS:
            notes.left_out(directive.place, f"server {address} {option}", "upstreams have weight and backup")
        else:
            notes.needless("", name, "Foregate notices failing upstreams and new addresses by itself")
    return entry if len(entry) > 1 else url
