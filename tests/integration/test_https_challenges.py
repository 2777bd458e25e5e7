"""The CA's challenges are answered for every configured name, before everything else, and for no other."""

import http.client
from collections.abc import Iterator

import pytest

from tests.fakes.foregate import Foregate
from tests.fakes.https import PATIENCE, Visitor, https_configuration, refused, site
from tests.fakes.origin import Origin, OriginResponse, running_origin
from tests.integration.conftest import StartForegate

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
PATH = f"/.well-known/acme-challenge/{TOKEN}"
CLOSED = """
firewall = { deny = ["0.0.0.0/0", "::/0"] }
rate_limit = { rate = "1/h", burst = 1 }
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foregate]:
    """Return an instance whose CA does not answer: challenges are answered before the CA is asked anything."""
    with running_origin() as origin:
        sites = site("closed.test", upstream=origin.url, more=CLOSED) + site("open.test", upstream=origin.url)
        sites += site("local.test", upstream=origin.url, more='tls = { mode = "self-signed" }')
        config = https_configuration(sites, workers=1)
        gate = Foregate(tmp_path_factory.mktemp("foregate"), config)
        try:
            gate.wait_serving(1)
            gate.wait("certificate problem", name="closed.test")
            yield gate
        finally:
            gate.close()


def challenge(gate: Foregate, host: str, path: str = PATH, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*gate.address("http"), timeout=PATIENCE)
    try:
        connection.request(method, path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_before_firewall_limiter_and_redirect(gate: Foregate) -> None:
    answers = {
        challenge(gate, host) for host in ("closed.test", "CLOSED.test:80", "open.test") for _ in "123"
    }
    ((status, content),) = answers
    token, _, thumbprint = content.decode().partition(".")
    assert (status, token, len(thumbprint)) == (200, TOKEN, 43)
    assert challenge(gate, "closed.test", method="HEAD") == (200, b"")
    assert challenge(gate, "closed.test", "/")[0] == 403
    assert challenge(gate, "open.test", "/")[0] == 307


@pytest.mark.parametrize(
    "path", ["/.well-known/acme-challenge/", PATH[:-30], f"{PATH}/x", f"{PATH}%20", f"{PATH}?x"]
)
def test_what_is_no_token_is_an_ordinary_request(gate: Foregate, path: str) -> None:
    assert challenge(gate, "open.test", path)[0] == 307


def test_other_hosts_are_not_answered(gate: Foregate) -> None:
    assert challenge(gate, "unknown.test")[0] == 404
    assert challenge(gate, "local.test")[0] == 308


@pytest.mark.parametrize("redirects", ["true", "false"])
def test_passed_through_challenges_reach_the_app(
    start_foregate: StartForegate, origin: Origin, redirects: str
) -> None:
    origin.answer = lambda request: OriginResponse(content=f"the app's {request.target}".encode())
    sites = site("passed.test", upstream=origin.url, more="tls = { passthrough_challenges = true }")
    gate = start_foregate(https_configuration(sites, workers=1, server=f"redirect_https = {redirects}"))
    gate.wait_serving(1)
    assert challenge(gate, "passed.test") == (200, f"the app's {PATH}".encode())
    (row,) = gate.admin("GET", "/api/v1/certificates")[1]["certificates"]
    assert (row["state"], row["problem"]["reason"]) == ("absent", "challenges-passed-through")
    with refused("TLSV1_ALERT_INTERNAL_ERROR"), Visitor(gate.address("https")).connect("passed.test"):
        pass
