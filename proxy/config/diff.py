"""What a reload changes, in words, and a configuration without its secrets."""

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from proxy.config import render
from proxy.config.schema import Config, Route, Site

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LONGEST: Final = 120


def redacted(config: Config) -> dict[str, Any]:
    """Return a configuration as a TOML document in which every secret is masked."""
    return render.document(config, mask=True)


def changes(old: Config, new: Config) -> list[str]:
    """Say what differs between two configurations, one line each; [] where nothing does.

    What a site only inherits is told once, at the top level. Secrets are never shown.
    """
    lines = [
        line for name in render.TABLES for line in _section(name, getattr(old, name), getattr(new, name))
    ]
    old_sites, new_sites = ({site.name: site for site in config.sites} for config in (old, new))
    lines += [f"site {name}: removed" for name in old_sites if name not in new_sites]
    for name, site in new_sites.items():
        if name not in old_sites:
            lines.append(f"site {name}: added")
        elif site != old_sites[name]:
            lines += _site(f"site {name}", old_sites[name], site, old, new)
    return lines


def _site(prefix: str, old: Site, new: Site, old_config: Config, new_config: Config) -> Iterator[str]:
    if old.domains != new.domains:
        yield f"{prefix}: domains: {_difference(list(old.domains), list(new.domains))}"
    yield from _section(f"{prefix}: tls", old.tls, new.tls, old_config.tls, new_config.tls)
    old_whole, new_whole = old.routes[-1], new.routes[-1]
    bases = [
        Route(**{name: getattr(config, name) for name in render.SECTIONS})
        for config in (old_config, new_config)
    ]
    yield from _route(prefix, old_whole, new_whole, bases[0], bases[1])
    old_routes, new_routes = ({route.path: route for route in site.routes[:-1]} for site in (old, new))
    yield from (f"{prefix}: route {path}: removed" for path in old_routes if path not in new_routes)
    for path, route in new_routes.items():
        if path not in old_routes:
            yield f"{prefix}: route {path}: added"
        else:
            yield from _route(f"{prefix}: route {path}", old_routes[path], route, old_whole, new_whole)


def _route(prefix: str, old: Route, new: Route, old_base: Route, new_base: Route) -> Iterator[str]:
    for item in fields(Route):
        if item.name in render.SECTIONS:
            values = (getattr(route, item.name) for route in (old, new, old_base, new_base))
            yield from _section(f"{prefix}: {item.name}", *values)
        elif item.name != "own_rate" and not _is_inherited(item.name, old, new, old_base, new_base):
            yield f"{prefix}: {item.name}: {_change(item.name, old, new)}"


def _section(
    prefix: str,
    old: "DataclassInstance",
    new: "DataclassInstance",
    old_base: "DataclassInstance | None" = None,
    new_base: "DataclassInstance | None" = None,
) -> Iterator[str]:
    for item in fields(old):
        if not _is_inherited(item.name, old, new, old_base, new_base):
            yield f"{prefix}.{item.name}: {_change(item.name, old, new)}"


def _is_inherited(name: str, old: Any, new: Any, old_base: Any, new_base: Any) -> bool:
    """Tell whether a value is the same as before, or changed only with what it is inherited from."""
    before, after = getattr(old, name), getattr(new, name)
    if before == after:
        return True
    if old_base is None or new_base is None:
        return False
    return bool(before == getattr(old_base, name) and after == getattr(new_base, name))


def _change(name: str, old: "DataclassInstance", new: "DataclassInstance") -> str:
    before, after = (render.written(values, name, mask=True) for values in (old, new))
    if before == after:
        return "changed (not shown)"
    if isinstance(before, list) and isinstance(after, list):
        return _difference(before, after)
    return f"{_text(before)} -> {_text(after)}"


def _difference(old: list[Any], new: list[Any]) -> str:
    added = [_text(item) for item in new if item not in old]
    removed = [_text(item) for item in old if item not in new]
    parts = [f"added {', '.join(added)}"] if added else []
    parts += [f"removed {', '.join(removed)}"] if removed else []
    return _shortened("; ".join(parts) or "another order")


def _text(value: Any) -> str:
    return _shortened(render.toml_literal(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
