"""nginx's locations as the site itself and its routes.

A location's settings count in it alone; those of a site count in its routes too.  So a route says everything in
which it differs from the site, defaults included.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.config.errors import UnacceptableError
from proxy.config.http_values import parse_path, url_scheme_and_host
from proxy.config.render import SECTIONS, table
from proxy.config.schema import Cache, Limits, RateLimit, Route, Timeouts
from proxy.importing.draft import Table
from proxy.importing.nginx.guards import is_guarded, rules
from proxy.importing.nginx.known import GUARDS
from proxy.importing.nginx.prefixes import prefixes_of, strips_prefix
from proxy.importing.nginx.settings import Surroundings, settings
from proxy.importing.nginx.tree import Directive
from proxy.importing.nginx.upstreams import route_to
from proxy.importing.nginx.values import UnclearError, expanded
from proxy.importing.repair import CLOSED

_DEFAULTS: Final[Mapping[str, Table]] = {
    "limits": table(Limits(), mask=False),
    "timeouts": table(Timeouts(), mask=False),
    "cache": table(Cache(), mask=False),
    "rate_limit": table(RateLimit(), mask=False),
    "firewall": {"allow": [], "deny": []},
}
_PLAIN_DEFAULTS: Final = {
    name: getattr(Route(), name) for name in ("host", "balance", "upstream_ca_file", "upstream_server_name")
}
_HEADER_MAPS: Final = ("set_request_headers", "set_response_headers")
_CHALLENGES: Final = "/.well-known/acme-challenge"
_OPEN: Final = (
    "OPEN NOW as far as the rest of the site is: nginx guarded these paths, and no route can name them; "
    "let the app refuse them"
)
_REQUEST_URI: Final = ("$request_uri", "${request_uri}")

Blocks = Mapping[str, Directive]


@dataclass(frozen=True, slots=True)
class Place:
    """A location: how nginx matches (=, ~, ~*, ^~ or nothing) and what against."""

    modifier: str
    path: str


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes of one location: path prefix ("" for the site itself) and all the keys that count there."""

    path: str
    keys: Table


def parts_of(
    location: Directive,
    outer: Sequence[Sequence[Directive]],
    named: Blocks,
    blocks: Blocks,
    around: Surroundings,
) -> Iterator[Part]:
    """Yield the parts that a location and those in it amount to; `outer` are the blocks around it."""
    where = _place(location)
    levels = (*outer, location.block)
    keys = _keys(location, where, levels, named, blocks, around)
    if keys is not None or where.modifier.startswith("~"):
        paths = _paths(where, location, around)
        yield from (Part(path, keys) for path in paths if keys is not None)
        if not paths and is_guarded(location.block):
            around.notes.left_out(location.place, location.text, _OPEN)
    for inner in location.all("location"):
        if not inner.first.startswith("@"):
            yield from parts_of(inner, levels, named, blocks, around)


def _place(location: Directive) -> Place:
    if len(location.arguments) >= 2:
        return Place(location.arguments[0], location.arguments[1])
    match = re.fullmatch(r"(=|\^~|~\*|~)(.+)", location.first)
    return Place(match[1], match[2]) if match else Place("", location.first)


def _paths(where: Place, location: Directive, around: Surroundings) -> list[str]:
    """Return the prefixes of a location, notes what cannot be a prefix."""
    candidates: list[str] | None = [where.path]
    if where.modifier.startswith("~"):
        candidates = prefixes_of(where.path)
        if candidates is None:
            reason = "Foregate has prefixes, no patterns; these paths are treated as the rest of the site"
            around.notes.left_out(location.place, location.text, reason)
            return []
        other = next((path.rstrip("/").swapcase() for path in candidates if path.swapcase() != path), None)
        if where.modifier == "~*" and other is not None:
            reason = f"only in this spelling: other cases ({other}) are treated as the rest of the site"
            around.notes.left_out(location.place, location.text, reason)
        for path in candidates:
            if not path.endswith("/"):
                around.notes.changed(location.place, location.text, f"for {path} and below, not for {path}x")
    elif where.modifier == "=" and where.path == "/":
        around.notes.left_out(location.place, location.text, "Foregate has no rule for the front page alone")
        return []
    elif where.modifier == "=" and not where.path.startswith(_CHALLENGES):
        around.notes.changed(location.place, location.text, "the route is for this path and for all below it")
    elif not where.path.endswith("/"):
        around.notes.changed(
            location.place, location.text, f"no longer for {where.path}x, only for {where.path} and below"
        )
    return [
        path for path in (_checked(path, location, around) for path in candidates or ()) if path is not None
    ]


def _checked(path: str, location: Directive, around: Surroundings) -> str | None:
    if path == "/":
        return ""
    try:
        return parse_path(path)
    except UnacceptableError as exc:
        around.notes.left_out(
            location.place, location.text, f"expected {exc.expected}; {exc.hint}".rstrip("; ")
        )
        return None


def _keys(
    location: Directive,
    where: Place,
    levels: Sequence[Sequence[Directive]],
    named: Blocks,
    blocks: Blocks,
    around: Surroundings,
) -> Table | None:
    """Return the keys of a location, None where it leads to nothing that Foregate can do."""
    if where.path.startswith(_CHALLENGES):
        around.notes.needless("", f"location {_CHALLENGES}", "Foregate answers challenges by itself")
        return None
    for directive in location.all("set"):
        _learn(directive, around)
    for rewrite in location.all("rewrite"):
        if rewrite.arguments[2:] == ("break",) and strips_prefix(where.path, *rewrite.arguments[:2]):
            around.stripping.add(rewrite)
    passing = _passing(location, named)
    keys = settings((*levels, passing[1]) if passing and passing[1] is not location.block else levels, around)
    try:
        if passing is not None:
            return _forwarded(passing[0], location, where, keys, blocks, around)
        if returned := next(location.all("return"), None):
            return _returned(returned, keys, around)
    except UnclearError as exc:
        failed = passing[0] if passing else location
        around.notes.left_out(failed.place, failed.text, str(exc))
    guarded = any(directive.name in GUARDS for directive in location.block) or rules((location.block,))
    # What nginx kept closed stays closed, even though what was behind it is gone.
    return {"firewall": keys["firewall"]} if guarded and "firewall" in keys else None


def _passing(location: Directive, named: Blocks) -> tuple[Directive, Sequence[Directive]] | None:
    """Return the location's proxy_pass, or that of the named location that it falls back to, and its block."""
    if own := next(location.all("proxy_pass"), None):
        return own, location.block
    for directive in location.block:
        fallback = named.get(directive.arguments[-1]) if directive.arguments else None
        if directive.name in ("try_files", "error_page") and fallback is not None:
            return next(((found, fallback.block) for found in fallback.all("proxy_pass")), None)
    return None


def _forwarded(
    directive: Directive, location: Directive, where: Place, keys: Table, blocks: Blocks, around: Surroundings
) -> Table:
    found, uri = route_to(directive, blocks, around)
    timeouts = {**found.pop("timeouts", {}), **keys.get("timeouts", {})}
    result = {"host": "upstream", **keys, **found, **({"timeouts": timeouts} if timeouts else {})}
    if result["host"] == "upstream" and any(block.first in directive.first for block in blocks.values()):
        reason = "nginx sent the name of its upstream block; Foregate sends the app's own address"
        around.notes.changed(directive.place, "Host", reason)
    if uri is not None and uri != where.path:
        if uri == "/" and where.modifier in ("", "^~"):
            result["strip_prefix"] = True
        else:
            reason = f"nginx put {uri} in place of {where.path}; Foregate can strip a prefix at most: the path stays"
            around.notes.left_out(directive.place, directive.text, reason)
    elif not around.stripping.isdisjoint(location.block):
        result["strip_prefix"] = True
    return result


def _returned(directive: Directive, keys: Table, around: Surroundings) -> Table | None:
    """Return the keys that a return amounts to: a redirect, or a closed door."""
    code, url = redirect_of(directive, around)
    if url is not None:
        if code != "308":
            around.notes.changed(
                "", f"return {code}", "redirects are 308: permanent, method and content kept"
            )
        return {**keys, "redirect": url}
    if code == "444" or (code.isdigit() and 400 <= int(code) < 500):
        around.notes.changed(directive.place, directive.text, "answered 403")
        return {**keys, "firewall": dict(CLOSED)}
    reason = "Foregate makes no answers of its own; these requests are treated as the rest of the site"
    around.notes.left_out(directive.place, directive.text, reason)
    return None


def redirect_of(directive: Directive, around: Surroundings) -> tuple[str, str | None]:
    """Return the status of a return, and the prefix that it redirects to, None if it is not such a redirect."""
    code, target = (
        ("302", directive.first) if len(directive.arguments) == 1 else directive.arguments[:2] or ("", "")
    )
    if len(directive.arguments) == 1 and directive.first.isdigit():
        return directive.first, None
    for end in _REQUEST_URI:
        if target.endswith(end):
            try:
                url = expanded(target.removesuffix(end).replace("$scheme://", "https://"), around.variables)
            except UnclearError:
                return code, None
            return code, url if url_scheme_and_host(url) else None
    return code, None


def _learn(directive: Directive, around: Surroundings) -> None:
    """Remember a variable, unless its value depends on the request."""
    if len(directive.arguments) == 2:
        name = directive.first.removeprefix("$")
        try:
            around.variables[name] = expanded(directive.arguments[1], around.variables)
        except UnclearError as exc:
            around.variables.pop(name, None)
            around.notes.left_out(directive.place, directive.text, str(exc))


def learn_all(directives: Iterable[Directive], around: Surroundings) -> None:
    """Remember the variables that a server sets."""
    for directive in directives:
        if directive.name == "set":
            _learn(directive, around)


def route_of(part: Part, site: Table) -> Table:
    """Return [[site.route]] for a part: all in which it differs from its site."""
    route: Table = {"path": part.path}
    for name, value in part.keys.items():
        if name not in (*SECTIONS, *_HEADER_MAPS) and value != site.get(name, _PLAIN_DEFAULTS.get(name)):
            route[name] = value
    for name, default in _PLAIN_DEFAULTS.items():
        if "upstream" in part.keys and name not in part.keys and site.get(name, default) != default:
            route[name] = default
    for name in SECTIONS:
        own, base = part.keys.get(name, {}), site.get(name, {})
        wanted = {key: own.get(key, _DEFAULTS[name][key]) for key in {**base, **own}}
        differing = {
            key: value for key, value in wanted.items() if value != base.get(key, _DEFAULTS[name].get(key))
        }
        if differing:
            route[name] = dict(sorted(differing.items()))
    # What was for the site's app alone, a key perhaps, is not for the route's.
    foreign = set(site.get("set_request_headers", {})) - set(part.keys.get("set_request_headers", {}))
    if "upstream" in part.keys and foreign:
        route["set_request_headers"] = dict.fromkeys(sorted(foreign), "")
    for name in _HEADER_MAPS:
        new = {field: v for field, v in part.keys.get(name, {}).items() if site.get(name, {}).get(field) != v}
        if new:
            route.setdefault(name, {}).update(new)
    return route
