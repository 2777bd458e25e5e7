"""The proxies that are compared: how each is configured and started."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bench.certificates import write_certificate
from bench.interpreter import REPOSITORY, Interpreter, interpreter
from bench.processes import BenchError, Server, free_port, free_ports, raise_descriptor_limit, running
from bench.rows import HOST, LARGE_BODY, MIDDLE_BODY, SMALL_BODY, Row

CONFIGURATIONS = Path(__file__).parent / "configurations"

SPARE_DESCRIPTORS = 100
#: Debian's packages, where a program has another name.
PACKAGES = {"h2load": "nghttp2-client", "callgrind_control": "valgrind", "callgrind_annotate": "valgrind"}

# What distinguishes the sites in each configuration, put in the place of @SITE@.
NGINX_SITES = {
    "pass": "limit_req zone=clients burst=100000 nodelay;",
    "hit": "limit_req zone=clients burst=100000 nodelay; proxy_cache micro;",
    "limited": "limit_req zone=strict;",
    "websocket": "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 1h;",
}
HAPROXY_SITES = {
    "pass": "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }",
    "hit": "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }\n"
    "    http-request cache-use micro\n"
    "    http-response cache-store micro",
    "limited": "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1 }",
    "websocket": "",
}
FOREGATE_SITES = {
    "pass": 'cache = { ttl = "0s" }',
    "hit": "",
    "limited": 'rate_limit = { rate = "1/m", burst = 1 }',
    "websocket": "",
}
CADDY_SITES = {"pass": "", "websocket": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How to run one of the compared programs.

    `command` takes the path of the rendered configuration and the number of workers; `sites` maps what it can be
    to its lines. `tells_clients_apart` is false where the cache has no cookies in its key.
    """

    name: str
    template: str
    command: Callable[[Path, int], Sequence[str]]
    version: Callable[[], str]
    sites: Mapping[str, str]
    tells_clients_apart: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def can_do(self, row: Row) -> bool:
        """Say whether the program can do what the row wants."""
        return row.site in self.sites and (self.tells_clients_apart or row.cookies == 1 or row.site != "hit")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy."""

    kind: Kind
    server: Server
    ports: dict[str, int]


def program(name: str) -> str:
    """Find a program, also where a plain user's PATH does not look; raises BenchError when it is missing."""
    check_programs([name])
    return str(_found(name))


def check_programs(names: Sequence[str]) -> None:
    """Make sure that programs are there; raises BenchError that names every Debian package that is wanted."""
    packages = [PACKAGES.get(name, name) for name in names if _found(name) is None]
    if packages:
        raise BenchError(f"something is missing; as root: apt-get install {' '.join(packages)}")


def _found(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")


def _printed(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return (result.stdout + result.stderr).strip().splitlines()[0]


def foregate(python: Interpreter, name: str = "foregate") -> Kind:
    """Run Foregate under some Python, with the sources that it finds."""
    return Kind(
        name=name,
        template="proxy.toml",
        command=lambda path, _: [*python.command("proxy"), "run", "-c", str(path)],
        version=lambda: f"{version('foregate')}, Python {python.version}",
        sites=FOREGATE_SITES,
        environment=python.environment,
    )


NGINX = Kind(
    name="nginx",
    template="nginx.conf",
    command=lambda path, _: [program("nginx"), "-c", str(path), "-p", str(path.parent), "-e", "stderr"],
    version=lambda: _printed(program("nginx"), "-v").rpartition("/")[2],
    sites=NGINX_SITES,
)
HAPROXY = Kind(
    name="haproxy",
    template="haproxy.cfg",
    command=lambda path, _: [program("haproxy"), "-W", "-db", "-f", str(path)],
    version=lambda: _printed(program("haproxy"), "-v").split()[2].partition("-")[0],
    sites=HAPROXY_SITES,
    tells_clients_apart=False,
)
CADDY = Kind(
    name="caddy",
    template="Caddyfile",
    command=lambda path, workers: [
        *("/usr/bin/env", f"GOMAXPROCS={workers}", f"HOME={path.parent}", program("caddy"), "run"),
        *("--adapter", "caddyfile", "--config", str(path)),
    ],
    version=lambda: _printed(program("caddy"), "version").split()[0],
    sites=CADDY_SITES,
)
NAMES = ("nginx", "foregate", "compiled", "haproxy", "caddy")
COMPILED = REPOSITORY / "build" / "compiled"


def chosen_kinds(names: str, python: str = "") -> tuple[Kind, ...]:
    """Pick proxies by a comma-separated list of names; `python` is what Foregate runs under.

    Raises ValueError for a name that is not there, BenchError for a Python that does not work.
    """
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise ValueError(f"no proxy {', '.join(unknown)}; there are {', '.join(NAMES)}")
    kinds = {kind.name: kind for kind in (NGINX, HAPROXY, CADDY)}
    if "foregate" in wanted:
        kinds["foregate"] = foregate(interpreter(python))
    if "compiled" in wanted:
        if not any(COMPILED.glob("proxy/*.so")):
            raise BenchError("the compiled form is missing: scripts/compiled.sh true")
        kinds["compiled"] = foregate(interpreter(python, COMPILED), "compiled")
    return tuple(kinds[name] for name in wanted)


def render(template: str, target: Path, values: Mapping[str, str]) -> Path:
    """Write a configuration from its template."""
    text = (CONFIGURATIONS / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    target.write_text(text)
    return target


@contextlib.contextmanager
def running_origin(folder: Path) -> Iterator[int]:
    """Run the origin in a folder and yield its port."""
    port = free_port()
    for name, length in (("large", LARGE_BODY), ("middle", MIDDLE_BODY)):
        path = folder / name
        path.write_bytes(b"x" * length)
        path.chmod(0o644)
    values = {"FOLDER": str(folder), "ORIGIN": str(port), "SMALL": "x" * SMALL_BODY}
    path = render("origin.conf", folder / "origin.conf", values)
    command = [program("nginx"), "-c", str(path), "-p", str(folder), "-e", "stderr"]
    with running("origin", command, folder) as server:
        server.wait_until_listening(port)
        yield port


@contextlib.contextmanager
def running_echo(folder: Path) -> Iterator[int]:
    """Run the app that echoes WebSocket messages and yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.websockets", "serve", str(port)]
    with running("echo", command, folder, {"PYTHONPATH": str(REPOSITORY)}) as server:
        server.wait_until_listening(port)
        yield port


@contextlib.contextmanager
def running_proxy(kind: Kind, site: str, folder: Path, origin: int, *, workers: int = 1) -> Iterator[Proxy]:
    """Run one proxy in front of the origin's port, with one site; in a folder of its own, new each time."""
    folder = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=folder))
    folder.chmod(0o755)  # nginx's workers are another user
    write_certificate(folder, HOST)
    ports = dict(zip(("http", "https", "metrics"), free_ports(3), strict=True))
    descriptors = raise_descriptor_limit()
    values = {
        "FOLDER": str(folder),
        "ORIGIN": str(origin),
        "HTTP": str(ports["http"]),
        "HTTPS": str(ports["https"]),
        "METRICS": str(ports["metrics"]),
        "USER": getpass.getuser(),
        "SITE": kind.sites[site],
        "WORKERS": str(workers),
        "DESCRIPTORS": str(descriptors),
        "HALF_OF_DESCRIPTORS": str(descriptors // 2 - SPARE_DESCRIPTORS),
    }
    path = render(kind.template, folder / f"{kind.name}-{kind.template}", values)
    with running(kind.name, kind.command(path, workers), folder, kind.environment) as server:
        server.wait_until_listening(ports["http"])
        yield Proxy(kind, server, ports)
