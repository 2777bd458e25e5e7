"""The admin API's way to the cache: what is passed on, and what is refused."""

from typing import Any

import pytest

from proxy.admin.access import AccessPolicy
from proxy.admin.application import operator_application
from proxy.admin.cache import PurgeOutcome, cache_routes
from proxy.admin.operations import Document
from tests.fakes.asgi import ask
from tests.fakes.operations import FakeOperations


class Cache:
    """Implements proxy.admin.cache.CacheOperations."""

    def __init__(self) -> None:
        self.purged: list[tuple[str, str]] = []
        self.outcome = PurgeOutcome()

    def cache(self) -> Document:
        return {"size_bytes": 1}

    async def purge(self, site: str, prefix: str) -> PurgeOutcome:
        self.purged.append((site, prefix))
        return self.outcome


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def operator(cache: Cache) -> Any:
    return operator_application(FakeOperations(), AccessPolicy, cache_routes(cache))


async def test_figures(operator: Any) -> None:
    assert (await ask(operator, "GET", "/api/v1/cache")).document == {"size_bytes": 1}


@pytest.mark.parametrize(
    ("query", "purged"),
    [
        ("", ("", "")),
        ("?site=a.test", ("a.test", "")),
        ("?path=/b%20c/%C3%A4", ("", "/b%20c/%C3%A4")),
        ("?path=/b%2520c%3Fd", ("", "/b%20c?d")),
        ("?site=a.test&path=/", ("a.test", "/")),
    ],
)
async def test_purges(operator: Any, cache: Cache, query: str, purged: tuple[str, str]) -> None:
    assert (await ask(operator, "POST", f"/api/v1/purge{query}")).status == 200
    assert cache.purged == [purged]


@pytest.mark.parametrize("query", ["?path=b", "?path=/b/*", "?sites=a.test", "?site=a.test&prefix=/"])
async def test_a_purge_that_is_not_understood_purges_nothing(operator: Any, cache: Cache, query: str) -> None:
    assert (await ask(operator, "POST", f"/api/v1/purge{query}")).status == 400
    assert cache.purged == []


async def test_faults(operator: Any, cache: Cache) -> None:
    cache.outcome = PurgeOutcome(fault="there is no such site", is_known=False)
    answer = await ask(operator, "POST", "/api/v1/purge?site=b.test")
    assert (answer.status, answer.document["detail"]) == (404, "there is no such site")
    cache.outcome = PurgeOutcome(fault="busy")
    assert (await ask(operator, "POST", "/api/v1/purge")).status == 503
