"""A server block as [[site]]."""

from collections.abc import Sequence
from typing import Final

from proxy.importing.draft import Table
from proxy.importing.nginx.locations import Blocks, Part, learn_all, parts_of, redirect_of, route_of
from proxy.importing.nginx.servers import Server
from proxy.importing.nginx.settings import Surroundings, settings
from proxy.importing.nginx.tree import Directive
from proxy.importing.repair import CLOSED

_ANSWERS: Final = "set_response_headers"
_NOWHERE: Final = (
    "nginx served files here, or nothing; everybody is refused until you give the site an `upstream`"
)


def site_of(
    server: Server, outer: Sequence[Sequence[Directive]], blocks: Blocks, around: Surroundings
) -> Table | None:
    """Return what a server amounts to, without names and certificate; None where there is nothing to serve."""
    block = server.directive.block
    learn_all(block, around)
    levels = (*outer, block)
    if returned := next(server.directive.all("return"), None):
        return _returning(returned, server, levels, around)
    named = {inner.first: inner for inner in server.directive.all("location") if inner.first.startswith("@")}
    parts: dict[str, Part] = {}
    for location in server.directive.all("location"):
        if location.first in named:
            continue
        for part in parts_of(location, levels, named, blocks, around):
            prefix = part.path.rstrip("/")
            parts[prefix] = _one_of_two(parts[prefix], part, location, around) if prefix in parts else part
    return _assembled(parts, server, levels, around)


def _one_of_two(present: Part, further: Part, location: Directive, around: Surroundings) -> Part:
    """Return what stands for two locations with one prefix: the first, closed if they admit different clients."""
    keys = dict(present.keys)
    reason = "another location has this prefix already, and that one was taken"
    if keys.get("firewall") != further.keys.get("firewall"):
        keys["firewall"] = dict(CLOSED)
        reason += "; they admit different clients, so nobody is admitted until you decide"
    around.notes.left_out(location.place, location.text, reason)
    return Part(present.path, keys)


def _returning(
    directive: Directive, server: Server, levels: Sequence[Sequence[Directive]], around: Surroundings
) -> Table | None:
    code, url = redirect_of(directive, around)
    if url is None and server.is_default and code.startswith("4"):
        around.notes.needless("", "the server for other hosts", "Foregate answers 404 to unknown hosts")
        return None
    if url is None:
        around.notes.left_out(
            directive.place, directive.text, "Foregate makes no answers of its own, but 404 for unknown hosts"
        )
        return None
    if code != "308":
        around.notes.changed("", f"return {code}", "redirects are 308: permanent, method and content kept")
    counting = ("firewall", "rate_limit", "set_response_headers")  # the others are about an app
    keys = {key: value for key, value in settings(levels, around).items() if key in counting}
    return _tidied({**keys, "redirect": url})


def _assembled(
    parts: dict[str, Part], server: Server, levels: Sequence[Sequence[Directive]], around: Surroundings
) -> Table | None:
    whole = parts.pop("", None)
    site = dict(whole.keys) if whole is not None else settings(levels, around)
    if site.pop("strip_prefix", False):
        around.notes.needless("", "strip_prefix", "there is no prefix at the site itself")
    if "upstream" not in site and "redirect" not in site:
        first = next((part.keys["upstream"] for part in parts.values() if "upstream" in part.keys), None)
        if first is None:
            reason = "none of its locations leads to an app; Foregate serves no files"
            around.notes.left_out(server.directive.place, f"server {' '.join(server.names)}".strip(), reason)
            return None
        site.update(upstream=first, firewall=dict(CLOSED))
        around.notes.left_out(server.directive.place, "location /", _NOWHERE)
    routes = [route_of(part, site) for part in parts.values()]
    for part in parts.values():
        for field in sorted(set(site.get(_ANSWERS, {})) - set(part.keys.get(_ANSWERS, {}))):
            reason = f"{_ANSWERS} of the site count in its routes, too"
            around.notes.changed("", f"{field} in {part.path}", reason)
    useful = [route for route in routes if len(route) > 1]
    # A route that differs in nothing still matters below another route.
    kept = [route for route in routes if route in useful or any(_is_below(route, other) for other in useful)]
    if kept:
        site["route"] = kept
    return _tidied(site)


def _is_below(route: Table, other: Table) -> bool:
    return bool(route["path"].startswith(other["path"].rstrip("/") + "/"))


def _tidied(site: Table) -> Table:
    """Leave out what is the default anyway."""
    defaults = {"host": "preserve", "balance": "least_connections", "firewall": {"allow": [], "deny": []}}
    return {key: value for key, value in site.items() if defaults.get(key) != value}
