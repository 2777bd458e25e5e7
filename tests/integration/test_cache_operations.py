"""What an operator does to the cache of a running instance: purge, look, reload."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.fakes.foregate import PATIENCE, ROOT, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse

StartForegate = Callable[..., Foregate]
LASTING = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\n'


def foregate(front: Foregate, *arguments: str) -> tuple[int, str, str]:
    """Run a command against a running instance; return exit status, output and errors."""
    command = [sys.executable, "-m", "proxy", *arguments, "--config", str(front.file)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def counting(origin: Origin) -> None:
    """Let the origin answer with the number of the request."""
    numbers: Iterator[int] = iter(range(1000))

    def answer(request: OriginRequest) -> OriginResponse:
        return OriginResponse(content=str(next(numbers)).encode())

    origin.answer = answer


def ask_all(front: Foregate, path: str, host: str = "a.example") -> set[bytes]:
    """Ask on so many new connections that both workers answer; return the different answers."""
    answers = set()
    connections = [HTTPConnection(*front.address("http"), timeout=PATIENCE) for _ in range(12)]
    try:
        for connection in connections:
            connection.request("GET", path, headers={"Host": host})
        for connection in connections:
            answers.add(connection.getresponse().read())
    finally:
        for connection in connections:
            connection.close()
    return answers


@pytest.fixture
def front(origin: Origin, start_foregate: StartForegate) -> Foregate:
    counting(origin)
    second = f'[[site]]\ndomains = ["b.example", "www.b.example"]\nupstream = "{origin.url}"\n'
    instance = start_foregate(configuration(origin.url, tables=LASTING, site=second))
    instance.wait_serving(2)
    return instance


def test_a_purge_is_effective_in_all_workers_at_once(front: Foregate) -> None:
    for _ in range(3):
        pages = {path: ask_all(front, path) for path in ("/blog/a", "/blog/b?x=1", "/shop")}
        assert [len(answers) for answers in pages.values()] == [1, 1, 1]
        status, output, _ = foregate(front, "purge", "--path", "/x/../blog/")
        assert status == 0
        assert output.startswith("purged: all sites, paths that begin with")
        after = {path: ask_all(front, path) for path in pages}
        assert after["/shop"] == pages["/shop"]
        for path in ("/blog/a", "/blog/b?x=1"):
            assert len(after[path]) == 1
            assert after[path] != pages[path]


def test_a_purge_of_one_site_leaves_the_others(front: Foregate) -> None:
    before = [ask_all(front, "/page", host) for host in ("a.example", "b.example")]
    assert foregate(front, "purge", "--site", "www.b.example")[0] == 0
    after = [ask_all(front, "/page", host) for host in ("a.example", "b.example")]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert foregate(front, "purge")[1] == "purged: all sites, all paths\n"
    assert ask_all(front, "/page") != before[0]


def test_a_purge_of_what_does_not_exist_says_what_does(front: Foregate) -> None:
    status, _, errors = foregate(front, "purge", "--site", "b.exampel")
    assert status == 1
    assert 'did you mean "b.example"?' in errors
    assert "Known sites: *, b.example" in errors
    assert foregate(front, "purge", "--path", "blog")[0] == 2
    assert front.admin("POST", "/api/v1/purge?path=blog")[0] == 400
    assert front.admin("POST", "/api/v1/purge?sites=b.example")[0] == 400
    assert front.admin("GET", "/api/v1/purge")[0] == 405


def asked_of(shown: dict[str, Any]) -> int:
    """Count the requests that the site for any name has seen."""
    site = next(site for site in shown["sites"] if site["name"] == "*")
    return sum(int(site["requests"][outcome]) for outcome in ("hit", "collapsed", "miss"))


def test_the_cache_is_shown(front: Foregate) -> None:
    ask_all(front, "/page")
    while asked_of(shown := front.admin("GET", "/api/v1/cache")[1]) < 12:
        continue  # a request counts a moment after its answer is sent
    assert shown["size_bytes"] == 64 * 1024 * 1024
    assert 0 < shown["stored_bytes"] < 4096
    assert shown["evictions"] == 0
    site = next(site for site in shown["sites"] if site["name"] == "*")
    assert site["stored"] == 1
    assert asked_of(shown) == 12
    assert front.metric("foregate_cache_stored_bytes") == shown["stored_bytes"]
    assert front.metric("foregate_cache_size_bytes") == shown["size_bytes"]
    assert front.metric("foregate_cache_evictions_total") == 0


def test_settings_of_sites_and_routes_follow_a_reload(front: Foregate) -> None:
    assert len(ask_all(front, "/page")) == 1
    front.file.write_text(front.file.read_text() + 'cache = {ttl = "0s"}\n')
    assert foregate(front, "reload")[0] == 0
    assert len(ask_all(front, "/page", "b.example")) == 12
    assert len(ask_all(front, "/page")) == 1


def test_evictions_are_counted(origin: Origin, start_foregate: StartForegate) -> None:
    cache = LASTING + 'size = "1MB"\nobject_size = "100KB"\n'
    front = start_foregate(configuration(origin.url, tables=cache))
    front.wait_serving(2)
    origin.answer = lambda request: OriginResponse(content=bytes(90_000))
    for number in range(30):
        front.get(f"/{number}")
    evicted = front.metric("foregate_cache_evictions_total")
    assert evicted > 10
    assert front.admin("GET", "/api/v1/cache")[1]["evictions"] == evicted
    assert 0 < front.metric("foregate_cache_stored_bytes") <= 1024 * 1024
