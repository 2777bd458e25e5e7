"""Real instances of Foregate, in front of a small origin."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.cache_pair import Pair
from tests.fakes.certificates import Authority
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.https import IssuingCa
from tests.fakes.origin import Origin, running_origin
from tests.fakes.pebble import Pebble
from tests.fakes.ports import free_port
from tests.fakes.tls_server import NAME, TlsServer

StartForegate = Callable[..., Foregate]


@pytest.fixture
def server(authority: Authority) -> Iterator[TlsServer]:
    """Return the TLS side of a worker, which serves a certificate for NAME and to clients that name nobody."""
    with TlsServer(authority, default=NAME) as server:
        yield server


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Return an origin that answers every request with 200, unless the test sets another `answer`."""
    with running_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def caching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Foregate, Origin]]:
    """Return an instance that keeps answers for an hour, and its app: one for all tests of a module."""
    tables = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\n'
    with running_origin() as origin:
        folder = tmp_path_factory.mktemp("caching")
        instance = Foregate(folder, configuration(origin.url, workers=1, tables=tables))
        try:
            instance.wait_serving(1)
            yield instance, origin
        finally:
            instance.close()


@pytest.fixture
def pair(caching: tuple[Foregate, Origin]) -> Pair:
    """Return a page of that app, and those who ask for it."""
    return Pair(*caching)


@pytest.fixture
def start_foregate(tmp_path: Path) -> Iterator[StartForegate]:
    """Return a function that starts `foregate run` with the text of a configuration (see `configuration`).

    Each instance gets a folder of its own and is ended with the test.
    """
    running: list[Foregate] = []

    def start(config: str, **options: object) -> Foregate:
        folder = tmp_path / f"foregate{len(running)}"
        folder.mkdir()
        running.append(Foregate(folder, config, **options))  # type: ignore[arg-type]  # as its caller has them
        return running[-1]

    yield start
    for instance in running:
        instance.close()


@pytest.fixture(scope="module")
def issuing_ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuingCa]:
    """Return a real CA, one for all tests of a module, which therefore use names of their own."""
    folder, http_port = tmp_path_factory.mktemp("ca"), free_port()
    with Pebble(folder, http_port) as ca:
        yield IssuingCa(ca, folder, http_port)
