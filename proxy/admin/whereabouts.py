"""Where a running instance can be reached, read from its configuration file even when that is faulty now.

An operator asks for the status just when the file has been broken. So nothing but the keys that are needed
here matters; in a file that is no TOML any more they are looked for line by line, and what cannot be found
counts as its default.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.config.addresses import parse_admin, parse_metrics
from proxy.config.errors import UnacceptableError
from proxy.config.interpolation import interpolate
from proxy.config.schema import ListenAddress, Server, Tls, UnixAddress
from proxy.config.stand_ins import with_stand_ins
from proxy.config.texts import parse_secret

_ADMIN_SOCKET = "unix:admin.sock"
_LINE = re.compile(
    r"""^[ \t]*(?P<key>admin|admin_token|metrics|storage)[ \t]*=[ \t]*(["'])(?P<value>[^"'\n]*)\2""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The admin listener with its token, and the metrics listener if there is one."""

    admin: ListenAddress | UnixAddress
    token: str
    metrics: ListenAddress | None


def whereabouts(file: Path, environ: Mapping[str, str]) -> Whereabouts:
    """Find out where the instance that uses this file listens; never fails."""
    tables = _tables(file, environ)
    server, tls = _table(tables, "server"), _table(tables, "tls")
    return Whereabouts(_admin(server, tls, file), _token(server), _metrics(server))


def _tables(file: Path, environ: Mapping[str, str]) -> Mapping[str, Any]:
    return interpolate(with_stand_ins(_document(file), environ), environ)[0]


def _document(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode("utf-8", "replace")
    except OSError:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return _salvaged(text)


def _salvaged(text: str) -> dict[str, Any]:
    """Find the keys in what is no TOML; the first one of each name stands in its top-level table, mostly."""
    found = {match["key"]: match["value"] for match in reversed(list(_LINE.finditer(text)))}
    tls = {key: found.pop(key) for key in ("storage",) if key in found}
    return {"server": found, "tls": tls}


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else default


def _admin(server: Mapping[str, Any], tls: Mapping[str, Any], file: Path) -> ListenAddress | UnixAddress:
    try:
        admin = parse_admin(server.get("admin", _ADMIN_SOCKET))
    except UnacceptableError:
        admin = parse_admin(_ADMIN_SOCKET)
    if isinstance(admin, ListenAddress):
        return admin
    storage = _text(tls, "storage", Tls().storage)
    return UnixAddress(path=str(file.absolute().parent / storage / admin.path))


def _token(server: Mapping[str, Any]) -> str:
    try:
        return parse_secret(server.get("admin_token", ""))
    except UnacceptableError:
        return ""


def _metrics(server: Mapping[str, Any]) -> ListenAddress | None:
    try:
        return parse_metrics(server["metrics"]) if "metrics" in server else Server().metrics
    except UnacceptableError:
        return Server().metrics
