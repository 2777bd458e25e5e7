"""The admin applications: monitoring for anybody, everything else for the operator, problems as JSON."""

from typing import Any

import pytest

from proxy.admin.access import AccessPolicy
from proxy.admin.application import monitoring_application, operator_application
from proxy.admin.operations import ReloadOutcome
from tests.fakes.asgi import ask
from tests.fakes.operations import FakeOperations

TOKEN = "a long secret"


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def monitoring(operations: FakeOperations) -> Any:
    return monitoring_application(operations)


@pytest.fixture
def operator(operations: FakeOperations) -> Any:
    """Return the application as it is behind the unix socket."""
    return operator_application(operations, AccessPolicy)


@pytest.fixture
def guarded(operations: FakeOperations) -> Any:
    """Return the application as it is over TCP."""
    return operator_application(operations, lambda: AccessPolicy(TOKEN, "10.0.0.1"))


async def test_monitoring(monitoring: Any) -> None:
    metrics = await ask(monitoring, "GET", "/metrics", accept="application/openmetrics-text", host="whatever")
    assert (metrics.status, metrics.content) == (200, b"accept application/openmetrics-text\n")
    assert metrics.fields["content-type"] == "text/plain; version=0.0.4"
    assert (await ask(monitoring, "GET", "/healthz")).content == b"ok\n"


async def test_readiness(monitoring: Any, operations: FakeOperations) -> None:
    assert (await ask(monitoring, "GET", "/readyz")).status == 200
    operations.ready = False
    assert (await ask(monitoring, "GET", "/readyz")).status == 503
    assert (await ask(monitoring, "GET", "/healthz")).status == 200


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/reload", "/", "/metrics/"])
async def test_monitoring_shows_nothing_else(monitoring: Any, path: str) -> None:
    answer = await ask(monitoring, "POST", path)
    assert answer.status in (404, 405, 307)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/api/v1/status", {"state": "serving", "upgrades": 0}),
        ("/api/v1/sites", [{"name": "a.test"}]),
        ("/api/v1/upstreams", [{"name": "app"}]),
        ("/api/v1/config", {"server": {}}),
    ],
)
async def test_documents(operator: Any, path: str, document: object) -> None:
    answer = await ask(operator, "GET", path)
    assert (answer.status, answer.document) == (200, document)
    assert "access-control-allow-origin" not in answer.fields


async def test_a_reload_that_is_accepted(operator: Any, operations: FakeOperations) -> None:
    operations.outcome = ReloadOutcome(accepted=True, generation=3, changes=("cache.ttl: 1 -> 2",))
    answer = await ask(operator, "POST", "/api/v1/reload")
    assert (answer.status, answer.document) == (200, {"generation": 3, "changes": ["cache.ttl: 1 -> 2"]})
    assert operations.triggers == ["admin"]


async def test_a_reload_that_is_refused(operator: Any, operations: FakeOperations) -> None:
    operations.outcome = ReloadOutcome(accepted=False, generation=2, faults=("proxy.toml:3: bad",))
    answer = await ask(operator, "POST", "/api/v1/reload")
    assert answer.status == 422
    assert answer.fields["content-type"] == "application/problem+json"
    assert answer.document["faults"] == ["proxy.toml:3: bad"]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/api/v1/nothing", 404, "there is nothing at /api/v1/nothing"),
        ("GET", "/api/v1/reload", 405, "GET is not possible at /api/v1/reload"),
        ("POST", "/api/v1/status", 405, "POST is not possible at /api/v1/status"),
    ],
)
async def test_problems(operator: Any, method: str, path: str, status: int, detail: str) -> None:
    answer = await ask(operator, method, path)
    assert answer.status == status
    assert answer.fields["content-type"] == "application/problem+json"
    assert answer.document["detail"] == detail


async def test_a_fault_of_ours_is_a_problem_without_its_inside(
    operator: Any, operations: FakeOperations
) -> None:
    operations.outcome = ReloadOutcome(accepted=True, generation=0)
    with pytest.raises(RuntimeError):  # on its way to the server's log
        await ask(operator, "POST", "/api/v1/reload")


GOOD = f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("host", "authorization", "status"),
    [
        ("127.0.0.1:9146", GOOD, 200),
        ("[::1]:9146", GOOD, 200),
        ("[::1]", GOOD, 200),
        ("localhost", f"bearer  {TOKEN}", 200),
        ("10.0.0.1:9146", GOOD, 200),
        ("127.0.0.1", f"Basic {TOKEN}", 401),
        ("127.0.0.1", "Bearer another secret", 401),
        ("127.0.0.1", f"Bearer {TOKEN}x", 401),
        ("127.0.0.1", "Bearer", 401),
        ("127.0.0.1", "", 401),
        ("127.0.0.1", "Bearer \xe9", 401),
        ("rebound.example:9146", GOOD, 421),
        ("", GOOD, 421),
    ],
)
async def test_over_tcp_it_takes_token_and_host(
    guarded: Any, host: str, authorization: str, status: int
) -> None:
    for method, path in (("GET", "/api/v1/status"), ("POST", "/api/v1/reload"), ("GET", "/metrics")):
        answer = await ask(guarded, method, path, host=host, authorization=authorization)
        assert answer.status == status
    if status == 401:
        assert answer.fields["www-authenticate"] == 'Bearer realm="foregate"'


async def test_an_upgrade_is_accepted_or_refused_with_the_reason() -> None:
    operations = FakeOperations()
    operator = operator_application(operations, AccessPolicy)
    answer = await ask(operator, "POST", "/api/v1/upgrade")
    assert (answer.status, answer.document) == (202, {"upgrades": 0})
    operations.upgrade_fault = "no such module"
    answer = await ask(operator, "POST", "/api/v1/upgrade")
    assert answer.status == 409
    assert "nothing has changed: no such module" in str(answer.document)
