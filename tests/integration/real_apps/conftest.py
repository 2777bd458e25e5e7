"""Real apps, reached by real clients: directly, which proves the tests, and through Foregate."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fakes.apps import COMMANDS, App, running_app, write_files
from tests.fakes.foregate import Foregate
from tests.fakes.front import Front

SETTINGS = """
[server]
http = ["127.0.0.1:0"]
https = []
metrics = "127.0.0.1:0"
workers = 2
{user}
[tls]
mode = "off"
storage = "storage"
[rate_limit]
rate = "off"
[cache]
ttl = "0s"
"""
SITE = """
[[site]]
domains = ["{host}"]
upstream = [{upstreams}]
"""

OpenGate = Callable[..., int]


def in_toml(upstream: str) -> str:
    """Quote an upstream's URL; what is an inline table already stays as it is."""
    return upstream if upstream.startswith("{") else json.dumps(upstream)


@contextmanager
def foregate_before(sites: Mapping[str, Sequence[str]], folder: Path, more: str = "") -> Iterator[int]:
    """Run Foregate with a site for each host; give the port, and see that nothing went wrong inside.

    `more` goes into the last site's table.
    """
    # A test started as root stays root, because nobody else may be able to read the checkout.
    settings = SETTINGS.format(user='user = "root"' if os.geteuid() == 0 else "")
    texts = [SITE.format(host=host, upstreams=", ".join(map(in_toml, urls))) for host, urls in sites.items()]
    foregate = Foregate(folder, settings + "".join(texts) + more)
    try:
        foregate.wait_serving()
        yield foregate.port
        assert foregate.metric("foregate_internal_errors_total") == 0
        assert foregate.unstructured == []
    finally:
        foregate.close()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps") / "files"
    folder.mkdir()
    write_files(folder)
    return folder


@pytest.fixture(scope="session")
def apps(files: Path) -> Iterator[dict[str, App]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(running_app(name, files)) for name in COMMANDS}


@pytest.fixture(scope="session")
def gate(apps: dict[str, App], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    sites = {f"{app.name}.test": [app.origin] for app in apps.values()}
    with foregate_before(sites, tmp_path_factory.mktemp("gate")) as port:
        yield port


@pytest.fixture
def open_gate(tmp_path: Path) -> Iterator[OpenGate]:
    """Return a function that opens a gate for one host: `open_gate(host, urls, more="")` gives its port."""
    with ExitStack() as stack:
        yield lambda host, urls, more="": stack.enter_context(foregate_before({host: urls}, tmp_path, more))


@pytest.fixture(params=["direct", "foregate"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def front_of(name: str, way: str, apps: dict[str, App], request: pytest.FixtureRequest) -> Front:
    port = apps[name].port if way == "direct" else request.getfixturevalue("gate")
    return Front(name, port)


@pytest.fixture(params=["flask", "starlette", "node"])
def front(request: pytest.FixtureRequest, way: str, apps: dict[str, App]) -> Front:
    return front_of(request.param, way, apps, request)


@pytest.fixture
def node(request: pytest.FixtureRequest, way: str, apps: dict[str, App]) -> Front:
    return front_of("node", way, apps, request)


@pytest.fixture
def websocket(request: pytest.FixtureRequest, way: str, apps: dict[str, App]) -> Front:
    return front_of("websocket", way, apps, request)


@pytest.fixture(params=["websocket /echo", "starlette /socket"])
def socket_url(request: pytest.FixtureRequest, way: str, apps: dict[str, App]) -> tuple[Front, str]:
    """Return a front and the path of a WebSocket that sends everything back."""
    name, path = request.param.split()
    return front_of(name, way, apps, request), path
