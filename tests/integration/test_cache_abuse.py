"""Abuse of variants, purges and flights, black-box: no answer for whom it is not meant, nothing asked in vain."""

import asyncio
import gzip
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin
from tests.fakes.reflecting import TABLES, Gate, reflecting, running


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with running_origin(reflecting) as origin:
        yield origin


@pytest.fixture(scope="module")
def gate(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    yield from running(origin, tmp_path_factory.mktemp("untrusting"), TABLES)


def test_compressed_content_goes_only_to_those_who_can_read_it(gate: Gate) -> None:
    path = gate.path()

    def compressing(request: OriginRequest) -> OriginResponse:
        if "gzip" not in request.all("accept-encoding")[0].split(", "):
            return OriginResponse(content=b"plain")
        return OriginResponse(content=gzip.compress(b"packed"), fields=[("Content-Encoding", "gzip")])

    gate.origin.answer = compressing  # and says nothing of Vary
    packed = gate.get(path, "Accept-Encoding: gzip\r\n")[0]
    assert packed.getheader("Content-Encoding") == "gzip"
    assert gate.outcome(path, "Accept-Encoding: gzip\r\n") == "HIT"
    for coding in ("identity", "gzip;q=0", "br", "identity, deflate"):
        for _ in range(2):
            assert gate.get(path, f"Accept-Encoding: {coding}\r\n")[1] == "plain"


def test_an_explosion_of_variants_pushes_out_variants_of_that_page_alone(gate: Gate) -> None:
    beside, path = gate.path(), gate.path()
    gate.get(beside)
    gate.origin.answer = lambda request: OriginResponse(
        content=request.all("user-agent")[0].encode(), fields=[("Vary", "User-Agent")]
    )
    for number in range(60):
        assert gate.get(path, f"User-Agent: {number}\r\n")[1] == str(number)
    assert gate.outcome(path, "User-Agent: 59\r\n") == "HIT"
    assert gate.outcome(path, "User-Agent: 0\r\n") == "MISS"
    assert gate.outcome(beside) == "HIT"
    assert gate.front.metric("foregate_cache_stored_bytes") < 1_000_000


def test_a_vary_that_changes_each_time_asks_the_app_once_for_each_request(gate: Gate) -> None:
    path = gate.path()
    names = [f"Accept-{number}" for number in range(8)] + ["User-Agent", "Accept", "Accept-Language"]
    varied = count()
    gate.origin.answer = lambda request: OriginResponse(fields=[("Vary", names[next(varied) % len(names)])])
    before = len(gate.origin.requests)
    threads = [
        threading.Thread(
            target=gate.get, args=(path, f"User-Agent: {n}\r\nAccept: {n}\r\nAccept-Language: {n}\r\n")
        )
        for n in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gate.origin.requests) - before <= 24


def test_what_the_app_says_about_caches_is_not_taken_for_ours(gate: Gate) -> None:
    path = gate.path()
    fields = [("X-Cache-Status", "HIT"), ("Age", "1"), ("Cache-Status", "cdn; hit")]
    gate.origin.answer = lambda request: OriginResponse(fields=fields)
    for expected in ("MISS", "HIT"):
        response, _ = gate.get(path)
        assert response.headers.get_all("X-Cache-Status") == [expected]
        assert len(response.headers.get_all("Age") or []) == 1
        assert (response.headers.get_all("Cache-Status") or [])[0] == "cdn; hit"


@pytest.mark.parametrize("prefix", ["/", "/purged/", "/purged/%70age"])
def test_a_purge_voids_what_is_still_being_fetched(gate: Gate, prefix: str) -> None:
    path = f"/purged/page{gate.path()[1:]}"
    held = asyncio.Event()
    before = len(gate.origin.requests)
    gate.origin.answer = lambda request: OriginResponse(content=b"old", wait=held)
    seen: list[str] = []
    early = threading.Thread(target=lambda: seen.append(gate.get(path)[1]))
    early.start()
    gate.origin.wait_for_requests(before + 1)
    assert gate.front.admin("POST", f"/api/v1/purge?path={prefix.replace('%', '%25')}")[0] == 200
    gate.origin.answer = lambda request: OriginResponse(content=b"new")
    assert gate.get(path)[1] == "new"  # joins nobody
    gate.origin.release(held)
    early.join()
    assert seen == ["old"]
    assert [gate.get(path)[1] for _ in range(4)] == ["new"] * 4
