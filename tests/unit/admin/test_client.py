"""The command line's client: answers as they are, and its own words for everything that goes wrong."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.admin.client import Answer, AnswerError, Instance, NotRunningError
from proxy.config.schema import ListenAddress, UnixAddress


@contextmanager
def answering(listening: socket.socket, answer: bytes) -> Iterator[list[bytes]]:
    """Answer one connection; yield what it asked."""
    asked: list[bytes] = []

    def serve() -> None:
        accepted, _ = listening.accept()
        with accepted:
            asked.append(accepted.recv(65536))
            accepted.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with listening:
        yield asked
        thread.join(60)


@pytest.fixture
def tcp() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def instance(listening: socket.socket, token: str = "", host: str = "127.0.0.1") -> Instance:
    return Instance(ListenAddress(host=host, port=listening.getsockname()[1]), token)


JSON = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"answer": 1}'


def test_over_tcp_with_a_token(tcp: socket.socket) -> None:
    with answering(tcp, JSON) as asked:
        answer = instance(tcp, "secret").request("POST", "/api/v1/reload")
    assert (answer.status, answer.body) == (200, {"answer": 1})
    assert asked[0].startswith(b"POST /api/v1/reload HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in asked[0]


def test_an_address_for_everybody_is_reached_on_loopback(tcp: socket.socket) -> None:
    with answering(tcp, JSON):
        assert instance(tcp, host="").request("GET", "/").status == 200


def test_over_a_unix_socket(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "admin.sock"))
    listening.listen()
    with answering(listening, JSON) as asked:
        answer = Instance(UnixAddress(path=str(tmp_path / "admin.sock"))).request("GET", "/api/v1/status")
    assert answer.body == {"answer": 1}
    assert b"Authorization" not in asked[0]


def test_nobody_there(tcp: socket.socket, tmp_path: Path) -> None:
    gone = instance(tcp)
    tcp.close()
    for place in (gone, Instance(UnixAddress(path=str(tmp_path / "admin.sock")))):
        with pytest.raises(NotRunningError, match="no instance is running: nobody answers at"):
            place.request("GET", "/")


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"]
)
def test_no_valid_answer(tcp: socket.socket, answer: bytes) -> None:
    with answering(tcp, answer), pytest.raises(AnswerError, match="no valid answer from"):
        instance(tcp).request("GET", "/")


def test_no_answer_in_time(tcp: socket.socket) -> None:
    with tcp, pytest.raises(AnswerError, match="within 0 seconds"):
        Instance(ListenAddress(host="127.0.0.1", port=tcp.getsockname()[1]), patience=0.01).request(
            "GET", "/"
        )


def test_what_a_problem_says() -> None:
    assert Answer(422, {"detail": "refused"}, "{}").detail == "refused"
    assert Answer(503, {}, "not ready\n").detail == "not ready"


def test_how_an_instance_is_named() -> None:
    assert str(Instance(ListenAddress(host="::1", port=9))) == "[::1]:9"
    assert str(Instance(UnixAddress(path="/x/admin.sock"))) == "unix:/x/admin.sock"
