"""What an unknown key was probably meant to be."""

from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel

from proxy.config.findings import Path, show_key
from proxy.config.site_tables import Document, RouteTable, SiteTable

_LONGEST_KEY: Final = 64  # the search for similar words grows with the square of their length

# What the settings are called elsewhere.
_KNOWN_ELSEWHERE: Final = {
    **dict.fromkeys(("server_name", "hosts", "names", "hostname"), "domains"),
    **dict.fromkeys(("proxy_pass", "backend", "target", "forward", "app"), "upstream"),
    **dict.fromkeys(("client_max_body_size", "max_body_size", "body_size"), "limits.body"),
    **dict.fromkeys(("proxy_read_timeout", "read_timeout"), "timeouts.read"),
    **dict.fromkeys(("proxy_set_header", "headers", "request_headers"), "set_request_headers"),
    **dict.fromkeys(("add_header", "response_headers"), "set_response_headers"),
    **dict.fromkeys(("ssl_certificate", "cert"), "tls.certificate"),
    **dict.fromkeys(("ssl_certificate_key", "key"), "tls.private_key"),
    **dict.fromkeys(("location", "routes", "path_prefix"), "[[site.route]]"),
    **dict.fromkeys(("listen", "port", "bind"), "server.http and server.https"),
    **dict.fromkeys(("sites", "vhost", "virtual_host"), "[[site]]"),
    **dict.fromkeys(("real_ip_header",), "client_ip.header"),
    **dict.fromkeys(("set_real_ip_from", "trusted_proxies"), "client_ip.trusted"),
}


def table_class(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation speaks of, through lists and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := table_class(part))), None)


def table_at(path: Path) -> type[BaseModel]:
    """Return the table at a path, or the nearest one around it."""
    table: type[BaseModel] = Document
    for part in path:
        annotation = table.model_fields[part].annotation if part in table.model_fields else None
        table = table_class(annotation) or table
    return table


def resembled_key(path: Path, likeness: float = 0.6) -> str:
    """Return the known key that a key resembles: itself where it is one, "" where there is none."""
    known = table_at(path[:-1]).model_fields
    key = str(path[-1]) if path else ""
    if key in known or len(key) > _LONGEST_KEY:
        return key
    return next(iter(get_close_matches(_spelling(key), known, n=1, cutoff=likeness)), "")


def meant_key(path: Path) -> str:
    """Say where an unknown key belongs, or which known one it resembles; "" where nothing comes to mind."""
    key = _spelling(str(path[-1]))
    if len(key) > _LONGEST_KEY:
        return ""
    if close := resembled_key(path, likeness=0.75):
        return f'did you mean "{close}"?'
    if belongs := _where_it_belongs(key, path, table_at(path[:-1])):
        return belongs
    if key in _KNOWN_ELSEWHERE:
        return f"here it is called {_KNOWN_ELSEWHERE[key]}"
    close = resembled_key(path)
    return f'did you mean "{close}"?' if close else ""


def _spelling(key: str) -> str:
    return key.lower().replace("-", "_")


def _where_it_belongs(key: str, path: Path, table: type[BaseModel]) -> str:
    in_site = path[0] == "site"
    if table is RouteTable and key in SiteTable.model_fields:
        return "it is set for the whole site, in [[site]]"
    if table is SiteTable and key in RouteTable.model_fields:
        return "it is set for one path, in [[site.route]]"
    if in_site and key in Document.model_fields:
        return "it is set for the whole proxy, at the top level"
    if key in SiteTable.model_fields or key in RouteTable.model_fields:
        owner = "[[site]]" if key in SiteTable.model_fields else "[[site.route]]"
        return f"it belongs in {owner}; what stands after a [table] header belongs to that table"
    for name, info in Document.model_fields.items():
        owner_table = table_class(info.annotation)
        if owner_table is not None and owner_table is not SiteTable and key in owner_table.model_fields:
            is_inherited = in_site and name in SiteTable.model_fields
            return f"it belongs in [{'site.' if is_inherited else ''}{name}]"
    return ""


def known_keys(path: Path) -> str:
    """Name the table at a path, for a message."""
    names = [show_key(part) for part in path if isinstance(part, str)]
    if not names:
        return "a key of the top level: a [table] or [[site]]"
    brackets = ("[[", "]]") if names[-1] in ("site", "route") else ("[", "]")
    return f"a key of {brackets[0]}{'.'.join(names)}{brackets[1]}"
