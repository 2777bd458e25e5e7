"""Every kind of upstream, and what a client is told when there is none."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.apps import App, content, running_app
from tests.fakes.certificates import Authority
from tests.fakes.front import Answer, Front
from tests.fakes.ports import free_port

OpenGate = Callable[..., int]


def told(answer: Answer) -> tuple[int, str]:
    """Return the status and the error type of a gateway's answer, which must not name an internal address."""
    field = answer.one("Proxy-Status")
    assert "127.0.0.1" not in field + answer.body.decode()
    return answer.status, field.split("error=")[1].split(";")[0]


def test_a_name_with_two_families_of_which_one_serves(apps: dict[str, App], open_gate: OpenGate) -> None:
    front = Front("local", open_gate("local.test", [f"http://localhost:{apps['node'].port}"]))
    for number in range(20):
        answer = front.ask("POST", "/upload", body=content(0, number))
        assert json.loads(answer.body)["length"] == number


@pytest.mark.parametrize("app", ["flask", "starlette", "node"])
def test_a_unix_socket(app: str, files: Path, tmp_path: Path, open_gate: OpenGate) -> None:
    path = tmp_path / "app.sock"
    with running_app(app, files, unix=path):
        front = Front(app, open_gate(f"{app}.test", [f"unix:{path}"]))
        assert front.ask("GET", "/").body == app.encode()
        assert json.loads(front.ask("POST", "/upload", body=b"x" * 100_000).body)["length"] == 100_000


class TestHttps:
    NAME = "app.internal"

    def gate(self, open_gate: OpenGate, app: App, ca_file: Path, name: str) -> Front:
        more = f'upstream_ca_file = "{ca_file}"\nupstream_server_name = "{name}"\n'
        return Front("secure", open_gate("secure.test", [f"https://127.0.0.1:{app.port}"], more))

    def app_options(self, authority: Authority) -> tuple[str, ...]:
        pem = str(authority.issue(self.NAME))
        return ("--ssl-certfile", pem, "--ssl-keyfile", pem)

    def test_it_is_verified_by_ca_and_name(self, files: Path, tmp_path: Path, open_gate: OpenGate) -> None:
        authority = Authority(tmp_path)
        with running_app("starlette", files, *self.app_options(authority), tls=True) as app:
            front = self.gate(open_gate, app, authority.ca_file, self.NAME)
            for method in ("GET", "POST"):
                assert json.loads(front.ask(method, "/echo").body)["method"] == method
            body = content(0, 3_000_000)
            assert json.loads(front.ask("PUT", "/upload", body=body).body)["length"] == len(body)
            assert front.ask("GET", "/files/large.bin").body[:1000] == content(0, 1000)

    def test_another_name_is_refused(self, files: Path, tmp_path: Path, open_gate: OpenGate) -> None:
        authority = Authority(tmp_path)
        with running_app("starlette", files, *self.app_options(authority), tls=True) as app:
            front = self.gate(open_gate, app, authority.ca_file, "other.internal")
            assert told(front.ask("GET", "/")) == (502, "tls_certificate_error")

    def test_another_ca_is_refused(self, files: Path, tmp_path: Path, open_gate: OpenGate) -> None:
        authority, other = Authority(tmp_path), tmp_path / "other"
        other.mkdir()
        with running_app("starlette", files, *self.app_options(authority), tls=True) as app:
            front = self.gate(open_gate, app, Authority(other).ca_file, self.NAME)
            assert told(front.ask("GET", "/")) == (502, "tls_certificate_error")


def test_a_refused_connection(open_gate: OpenGate) -> None:
    front = Front("down", open_gate("down.test", [f"http://127.0.0.1:{free_port()}"]))
    for method in ("GET", "POST"):
        assert told(front.ask(method, "/")) == (502, "connection_refused")


def test_a_name_that_does_not_resolve(open_gate: OpenGate) -> None:
    front = Front("nowhere", open_gate("nowhere.test", ["http://no-such-host.invalid:3000"]))
    assert told(front.ask("GET", "/")) == (503, "dns_error")


def test_an_app_that_closes_without_an_answer(open_gate: OpenGate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        front = Front("rude", open_gate("rude.test", [url]))
        with front.connection() as connection:
            connection.request("POST", "/", body=b"content", headers={"Host": front.authority})
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(65536)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
    assert told(answer) == (502, "connection_terminated")


def test_an_app_that_speaks_something_else(open_gate: OpenGate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        front = Front("ssh", open_gate("ssh.test", [url]))
        with front.connection() as connection:
            connection.request("GET", "/", headers={"Host": front.authority})
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
                response = connection.getresponse()
                answer = Answer(response.status, response.getheaders(), response.read())
    assert told(answer) == (502, "http_protocol_error")


def test_a_backup_serves_while_the_primary_is_down(apps: dict[str, App], open_gate: OpenGate) -> None:
    urls = [f"http://127.0.0.1:{free_port()}", f'{{ url = "{apps["node"].origin}", backup = true }}']
    front = Front("backup", open_gate("backup.test", urls))
    assert [front.ask("POST", "/upload", body=b"x").status for _ in range(20)] == [200] * 20


def test_an_address_that_fails_its_probes_gets_no_requests(apps: dict[str, App], open_gate: OpenGate) -> None:
    """The WebSocket app answers 404 to the probe and to requests, which by itself is no reason to avoid it."""
    probed = 'health = "/status/204"\nhealth_interval = "1s"\n'
    front = Front("probed", open_gate("probed.test", [apps["node"].origin, apps["websocket"].origin], probed))
    in_a_row = 0
    while in_a_row < 20:  # two healthy addresses would take turns
        in_a_row = in_a_row + 1 if front.ask("GET", "/").body == b"node" else 0


def test_an_address_that_does_not_even_refuse_is_overtaken(files: Path, open_gate: OpenGate) -> None:
    with running_app("node", files) as app, socket.socket(socket.AF_INET6) as silent:
        silent.bind(("::1", app.port))
        silent.listen(0)
        # A full backlog drops every further SYN.
        with socket.create_connection(("::1", app.port)):
            more = 'timeouts = { connect = "10m" }\n'
            front = Front("dual", open_gate("dual.test", [f"http://localhost:{app.port}"], more))
            assert [front.ask("POST", "/upload", body=b"x").status for _ in range(20)] == [200] * 20
