"""Where a running instance can be reached, read from its configuration file even when that is faulty now.

An operator asks for the status just when the file has been broken; so every key that cannot be read counts
as its default, and nothing else in the file matters.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.config.addresses import parse_admin, parse_metrics
from proxy.config.errors import UnacceptableError
from proxy.config.interpolation import interpolate
from proxy.config.schema import ListenAddress, Server, Tls, UnixAddress

_ADMIN_SOCKET = "unix:admin.sock"


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
    return Whereabouts(_admin(server, tls, file), _text(server, "admin_token", ""), _metrics(server))


def _tables(file: Path, environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return interpolate(document, environ)[0]


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


def _metrics(server: Mapping[str, Any]) -> ListenAddress | None:
    try:
        return parse_metrics(server["metrics"]) if "metrics" in server else Server().metrics
    except UnacceptableError:
        return Server().metrics
