"""The proxies that are compared: how each is configured and started."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.certificates import write_certificate
from bench.processes import BenchError, Server, free_port
from bench.rows import HOST, LARGE_BODY, SMALL_BODY, Row

CONFIGURATIONS = Path(__file__).parent / "configurations"

# What distinguishes the sites in each configuration, put in the place of @SITE@.
NGINX_SITES = {
    "pass": "limit_req zone=clients burst=100000 nodelay;",
    "hit": "limit_req zone=clients burst=100000 nodelay; proxy_cache micro;",
    "limited": "limit_req zone=strict;",
}
HAPROXY_SITES = {
    "pass": "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }",
    "hit": "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }\n"
    "    http-request cache-use micro\n"
    "    http-response cache-store micro",
    "limited": "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1 }",
}
FOREGATE_SITES = {
    "pass": 'cache = { ttl = "0s" }',
    "hit": "",
    "limited": 'rate_limit = { rate = "1/m", burst = 1 }',
}
CADDY_SITES = {"pass": ""}


@dataclass(frozen=True, slots=True)
class Kind:
    """How to run one of the compared programs.

    `command` takes the path of the rendered configuration; `sites` maps what it can be to its lines.
    """

    name: str
    template: str
    command: Callable[[Path], Sequence[str]]
    version: Callable[[], str]
    sites: Mapping[str, str]
    schemes: frozenset[str]

    def can_do(self, row: Row) -> bool:
        """Say whether the program has the row's site and scheme."""
        return row.site in self.sites and row.scheme in self.schemes


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy."""

    kind: Kind
    server: Server
    ports: dict[str, int]


def _program(name: str) -> str:
    """Find a program, also where a plain user's PATH does not look."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if found is None:
        raise BenchError(f"{name} is not installed; install Debian's package {name}")
    return found


def _foregate() -> list[str]:
    script = Path(sys.executable).with_name("foregate")
    return [str(script)] if script.exists() else [sys.executable, "-m", "proxy"]


def _printed(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return (result.stdout + result.stderr).strip().splitlines()[0]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "nginx",
            "nginx.conf",
            lambda path: [_program("nginx"), "-c", str(path), "-p", str(path.parent), "-e", "stderr"],
            lambda: _printed(_program("nginx"), "-v").rpartition("/")[2],
            NGINX_SITES,
            frozenset({"http", "https"}),
        ),
        Kind(
            "foregate",
            "proxy.toml",
            lambda path: [*_foregate(), "run", "-c", str(path)],
            lambda: version("foregate"),
            FOREGATE_SITES,
            frozenset({"http", "https"}),
        ),
        Kind(
            "haproxy",
            "haproxy.cfg",
            lambda path: [_program("haproxy"), "-W", "-db", "-f", str(path)],
            lambda: _printed(_program("haproxy"), "-v").split()[2].partition("-")[0],
            HAPROXY_SITES,
            frozenset({"http", "https"}),
        ),
        Kind(
            "caddy",
            "Caddyfile",
            lambda path: [
                "/usr/bin/env",
                "GOMAXPROCS=1",
                f"HOME={path.parent}",
                _program("caddy"),
                "run",
                "--adapter",
                "caddyfile",
                "--config",
                str(path),
            ],
            lambda: _printed(_program("caddy"), "version").split()[0],
            CADDY_SITES,
            frozenset({"http", "https"}),
        ),
    )
}


def chosen_kinds(names: str) -> tuple[Kind, ...]:
    """Pick proxies by a comma-separated list of names.

    Raises ValueError for a name that is not there.
    """
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in KINDS]
    if unknown:
        raise ValueError(f"no proxy {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return tuple(KINDS[name] for name in wanted)


def _render(template: str, target: Path, values: dict[str, str]) -> Path:
    text = (CONFIGURATIONS / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    target.write_text(text)
    return target


@contextlib.contextmanager
def running_origin(folder: Path) -> Iterator[int]:
    """Run the origin in a folder and yield its port."""
    port = free_port()
    large = folder / "large"
    large.write_bytes(b"x" * LARGE_BODY)
    large.chmod(0o644)
    values = {"FOLDER": str(folder), "ORIGIN": str(port), "SMALL": "x" * SMALL_BODY}
    path = _render("origin.conf", folder / "origin.conf", values)
    server = Server("origin", [_program("nginx"), "-c", str(path), "-p", str(folder), "-e", "stderr"], folder)
    try:
        server.wait_until_listening(port)
        yield port
    finally:
        server.stop()


@contextlib.contextmanager
def running_proxy(kind: Kind, site: str, folder: Path, origin: int) -> Iterator[Proxy]:
    """Run one proxy in front of the origin, with one site."""
    if not (folder / "key.pem").exists():
        write_certificate(folder, HOST)
    ports = {"http": free_port(), "https": free_port()}
    values = {
        "FOLDER": str(folder),
        "ORIGIN": str(origin),
        "HTTP": str(ports["http"]),
        "HTTPS": str(ports["https"]),
        "METRICS": str(free_port()),
        "USER": getpass.getuser(),
        "SITE": kind.sites[site],
        "HTTPS_LISTENERS": f'["127.0.0.1:{ports["https"]}"]' if "https" in kind.schemes else "[]",
        "TLS_MODE": "files" if "https" in kind.schemes else "off",
    }
    path = _render(kind.template, folder / f"{kind.name}-{kind.template}", values)
    server = Server(kind.name, kind.command(path), folder)
    try:
        server.wait_until_listening(ports["http"])
        yield Proxy(kind, server, ports)
    finally:
        server.stop()
