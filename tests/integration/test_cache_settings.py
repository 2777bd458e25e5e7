"""The cache's settings for all sites, one site and one route, as clients see them: at start and after reloads."""

from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count

import pytest

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin

TABLES = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\nobject_size = "2KB"\n'


def sites(upstream: str) -> str:
    """Write one site for each setting; the first one, for any host, has what [cache] says."""

    def site(name: str, cache: str, further: str = "") -> str:
        return (
            f'[[site]]\ndomains = ["{name}.example"]\nupstream = "{upstream}"\ncache = {{{cache}}}\n{further}'
        )

    def route(path: str, cache: str) -> str:
        return f'[[site.route]]\npath = "{path}"\ncache = {{{cache}}}\n'

    return "".join(
        (
            route("/bypass", 'credentials = "bypass"'),
            site("off", 'ttl = "0s"', route("/on", 'ttl = "1h"')),
            site("routes", "", route("/off", 'ttl = "0s"') + route("/off/on", 'ttl = "1h"')),
            site("bypass", 'credentials = "bypass"'),
            site("cookies", 'ignore_cookies = ["seen"]'),
            site("fields", 'neutral_fields = ["X-Shop"]'),
            site("address", "key_client_address = true"),
            site("large", 'object_size = "8KB"'),
            site("limited", "", further='rate_limit = {rate = "1/h", burst = 3}\n'),
        )
    )


class Clients:
    """Clients of one instance; the app counts its answers, 4,000 octets long, for each page."""

    def __init__(self, front: Foregate, origin: Origin) -> None:
        self.front = front
        numbers = count()

        def answer(request: OriginRequest) -> OriginResponse:
            size = 4000 if request.target.startswith("/large") else 0
            return OriginResponse(content=f"{next(numbers)}".encode() + bytes(size))

        origin.answer = answer

    def ask(self, site: str, path: str, method: str = "GET", source: str = "", **fields: str) -> bytes:
        """Ask once, on a connection of its own."""
        connection = HTTPConnection(
            *self.front.address("http"), timeout=PATIENCE, source_address=(source, 0) if source else None
        )
        try:
            names = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, headers={"Host": f"{site}.example", **names})
            return connection.getresponse().read()
        finally:
            connection.close()

    def share(self, site: str, path: str, one: dict[str, str], other: dict[str, str]) -> bool:
        """Say whether the answer to one request is that to another one, too."""
        return self.ask(site, path, **one) == self.ask(site, path, **other)

    def is_kept(self, site: str, path: str, **fields: str) -> bool:
        """Say whether a second request gets the first one's answer."""
        return self.share(site, path, fields, fields)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with running_origin() as origin:
        text = configuration(origin.url, tables=TABLES, site=sites(origin.url))
        front = Foregate(tmp_path_factory.mktemp("settings"), text)
        try:
            front.wait_serving(2)
            yield Clients(front, origin)
        finally:
            front.close()


@pytest.fixture
def clients(running: Clients) -> Iterator[Clients]:
    """Return clients of an instance that has its first configuration, and leave it so."""
    text = running.front.file.read_text()
    yield running
    if running.front.file.read_text() != text:
        running.front.file.write_text(text)
        reload(running)


def reload(clients: Clients, *changes: tuple[str, str]) -> None:
    """Change the configuration's text and have it read."""
    text = clients.front.file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    clients.front.file.write_text(text)
    status, document = clients.front.admin("POST", "/api/v1/reload")
    assert status == 200, document


def test_each_site_and_each_route_has_settings_of_its_own(clients: Clients) -> None:
    session, seen = {"Cookie": "session=a"}, {"Cookie": "seen=1"}
    assert clients.is_kept("any", "/")
    assert clients.is_kept("any", "/", **session)
    assert not clients.is_kept("any", "/bypass", **session)
    assert clients.is_kept("any", "/bypass")
    assert not clients.is_kept("off", "/")
    assert clients.is_kept("off", "/on")
    assert clients.is_kept("routes", "/")
    assert not clients.is_kept("routes", "/off")
    assert not clients.is_kept("routes", "/off/deeper")
    assert clients.is_kept("routes", "/off/on/deeper")
    assert clients.is_kept("bypass", "/")
    assert not clients.is_kept("bypass", "/", **session)
    assert clients.share("cookies", "/", {}, seen)
    assert not clients.share("any", "/seen", {}, seen)
    assert clients.share("fields", "/", {"X_Shop": "1"}, {"X_Shop": "2"})
    assert not clients.share("any", "/shop", {"X_Shop": "1"}, {"X_Shop": "2"})
    assert clients.share("any", "/source", {"source": "127.0.0.1"}, {"source": "127.0.0.2"})
    assert not clients.share("address", "/source", {"source": "127.0.0.1"}, {"source": "127.0.0.2"})
    assert clients.is_kept("address", "/source", source="127.0.0.2")
    assert not clients.is_kept("any", "/large")
    assert clients.is_kept("large", "/large")


def test_cached_answers_count_against_the_limit(clients: Clients) -> None:
    kept = clients.ask("limited", "/")
    assert [clients.ask("limited", "/") for _ in range(2)] == [kept] * 2
    assert b"Too many requests" in clients.ask("limited", "/")


def test_answers_from_before_a_reload_are_not_used_where_their_settings_have_changed(
    clients: Clients,
) -> None:
    before = {site: clients.ask(site, "/") for site in ("any", "bypass", "fields", "cookies")}
    routed = clients.ask("routes", "/off/on")
    reload(
        clients,
        ('credentials = "bypass"}\n[[site]]', 'ttl = "30s"}\n[[site]]'),
        ("ignore_cookies", 'set_response_headers = {X-New = "1"}\ncache = {ignore_cookies'),
        ("cache = {set_response", "set_response"),
        ("X-Shop", "X-Store"),
    )
    after = {site: clients.ask(site, "/") for site in before}
    assert after["any"] == before["any"]
    assert all(after[site] != before[site] for site in ("bypass", "fields", "cookies"))
    assert clients.ask("routes", "/off/on") == routed


def test_a_write_while_the_cache_was_off_is_seen_when_it_is_on_again(clients: Clients) -> None:
    on, off = 'ttl = "1h"\n', 'ttl = "0s"\n'
    before = clients.ask("any", "/"), clients.ask("any", "/unchanged")
    reload(clients, (on, off))
    assert not clients.is_kept("any", "/")
    clients.ask("any", "/", "POST")
    reload(clients, (off, on))
    assert clients.ask("any", "/") != before[0]
    assert clients.ask("any", "/unchanged") == before[1]
