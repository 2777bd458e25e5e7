"""What somebody tries who can reach the admin listener and has no token, or a browser that does, or too much time."""

import shutil
import socket
import stat

import pytest

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.integration.conftest import StartForegate

TOKEN = "a-token-that-nobody-guesses"
GOOD = f"Authorization: Bearer {TOKEN}\r\n"
CLOSE = "Connection: close\r\n\r\n"
HERE = "Host: 127.0.0.1\r\n"

#: What is sent, and the only status that may come back.
ATTEMPTS = {
    "no token": (f"GET /api/v1/config HTTP/1.1\r\n{HERE}", 401),
    "a token for another scheme": (
        f"GET /api/v1/config HTTP/1.1\r\n{HERE}Authorization: Basic {TOKEN}\r\n",
        401,
    ),
    "two tokens, the first wrong": (
        f"GET /api/v1/config HTTP/1.1\r\n{HERE}Authorization: Bearer x\r\n{GOOD}",
        401,
    ),
    "the token in the query": (f"GET /api/v1/config?token={TOKEN} HTTP/1.1\r\n{HERE}", 401),
    "a form of another site": (
        f"POST /api/v1/reload HTTP/1.1\r\n{HERE}Origin: http://evil.test\r\nContent-Length: 0\r\n",
        401,
    ),
    "a preflight": (
        f"OPTIONS /api/v1/reload HTTP/1.1\r\n{HERE}Origin: http://evil.test\r\n"
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n",
        401,
    ),
    "a rebound name": (f"GET /api/v1/status HTTP/1.1\r\nHost: evil.test\r\n{GOOD}", 421),
    "a rebound name with a port": (f"GET /api/v1/status HTTP/1.1\r\nHost: evil.test:80\r\n{GOOD}", 421),
    "a name that looks like an address": (
        f"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1.evil.test\r\n{GOOD}",
        421,
    ),
    "an address as user": (f"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1@evil.test\r\n{GOOD}", 421),
    "an address as one number": (f"GET /api/v1/status HTTP/1.1\r\nHost: 2130706433\r\n{GOOD}", 421),
    "no Host": (f"GET /api/v1/status HTTP/1.0\r\n{GOOD}", 421),
    "two Hosts": (f"GET /api/v1/status HTTP/1.1\r\n{HERE}Host: evil.test\r\n{GOOD}", 400),
    "a reload by GET": (f"GET /api/v1/reload HTTP/1.1\r\n{HERE}{GOOD}", 405),
    "a path out of the API": (f"GET /api/v1/../../etc/passwd HTTP/1.1\r\n{HERE}{GOOD}", 404),
    "a certificate up the folders": (
        f"POST /api/v1/certificates/..%2f..%2fetc%2fpasswd/renew HTTP/1.1\r\n{HERE}{GOOD}Content-Length: 0\r\n",
        404,
    ),
    "a certificate of dots": (
        f"POST /api/v1/certificates/../restore HTTP/1.1\r\n{HERE}{GOOD}Content-Length: 0\r\n",
        404,
    ),
    "a certificate with a NUL": (
        f"POST /api/v1/certificates/a%00.test/renew HTTP/1.1\r\n{HERE}{GOOD}Content-Length: 0\r\n",
        404,
    ),
    "a diagnosis of somebody else's domain": (
        f"GET /api/v1/certificates/internal.evil.test/diagnosis HTTP/1.1\r\n{HERE}{GOOD}",
        404,
    ),
}


def sent(gate: Foregate, request: str) -> bytes:
    """Send a request over TCP; return all that comes back."""
    with socket.create_connection(gate.address("admin"), PATIENCE) as client:
        client.sendall((request + CLOSE).encode())
        answer = b""
        try:
            while piece := client.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass  # it was cut off after the answer, with more unread
        return answer


@pytest.fixture
def gate(start_foregate: StartForegate) -> Foregate:
    server = f'admin = "127.0.0.1:0"\nadmin_token = "{TOKEN}"'
    gate = start_foregate(configuration("http://127.0.0.1:9", workers=1, server=server))
    gate.wait_serving(1)
    return gate


def test_nothing_that_they_try_works(gate: Foregate) -> None:
    answers = {name: sent(gate, request) for name, (request, _) in ATTEMPTS.items()}
    found = {name: int(answer.split(b" ", 2)[1]) for name, answer in answers.items()}
    assert found == {name: status for name, (_, status) in ATTEMPTS.items()}
    heads = [answer.partition(b"\r\n\r\n")[0].lower() for answer in answers.values()]
    assert [head for head in heads if b"access-control-" in head] == []
    assert [answer for answer in answers.values() if TOKEN.encode() in answer] == []
    assert gate.events("configuration reloaded") == []
    assert b" 200 OK" in sent(gate, f"GET /api/v1/status HTTP/1.1\r\n{HERE}{GOOD}")
    assert gate.unstructured == []
    assert [line for line in gate.log if line["level"] == "error"] == []


def test_a_socket_that_somebody_removes_comes_back(start_foregate: StartForegate) -> None:
    gate = start_foregate(configuration("http://127.0.0.1:9", workers=1))
    gate.wait_serving(1)
    shutil.rmtree(gate.storage)
    gate.wait("the admin socket was gone")
    gate.wait("listening", 4)
    assert gate.admin("GET", "/api/v1/status")[1]["state"] == "serving"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (gate.storage, gate.storage / "admin.sock")]
    assert modes == [0o700, 0o600]
    assert gate.terminate() == 0
    assert gate.unstructured == []
