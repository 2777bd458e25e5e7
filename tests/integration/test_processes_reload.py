"""Reload: all of a new file or nothing of it, by every way there is."""

import asyncio
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.cli import main
from tests.fakes.certificates import Authority
from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginResponse, running_origin
from tests.fakes.ports import free_port
from tests.integration.conftest import StartForegate


def answer_with(origin: Origin, content: bytes) -> None:
    """Let an origin tell that it is the one that answered."""
    origin.answer = lambda _request: OriginResponse(content=content)


def test_sighup_swaps_the_upstream_and_keeps_requests_in_flight(
    start_foregate: StartForegate, origin: Origin
) -> None:
    with running_origin() as other:
        go_on = asyncio.Event()
        origin.answer = lambda _request: OriginResponse(content=b"old", wait=go_on)
        answer_with(other, b"new")
        gate = start_foregate(configuration(origin.url))
        gate.wait_serving(2)
        with ThreadPoolExecutor() as threads:
            old = threads.submit(gate.get, "/old")
            origin.wait_for_requests(1)
            gate.file.write_text(configuration(other.url))
            gate.signal(signal.SIGHUP)
            gate.wait("configuration reloaded", trigger="SIGHUP")
            assert gate.get("/new") == (200, b"new")
            origin.release(go_on)
            assert old.result(PATIENCE) == (200, b"old")
        assert gate.metric("foregate_config_reloads_total", result="accepted") == 1
        assert gate.metric("foregate_requests_total", site="*", code="200", cache="NONE") in (0, 2)


def test_the_command_waits_and_prints_what_changed(
    start_foregate: StartForegate,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    assert gate.command("reload").stdout == "nothing has changed\n"
    gate.file.write_text(configuration(origin.url, workers=1, tables='[cache]\nttl = "1s"'))
    monkeypatch.setattr(sys, "argv", ["foregate", "reload", "-c", str(gate.file)])
    with pytest.raises(SystemExit) as ended:
        main()  # in this process: the file's watch is faster than a start on a busy machine
    assert (ended.value.code, *capsys.readouterr()) == (0, 'cache.ttl: "3s" -> "1s"\n', "")


NO_PAIR = (
    configuration("http://127.0.0.1:9")
    .replace('mode = "off"', 'mode = "files"\ncertificate = "one.pem"\nprivate_key = "other.pem"')
    .replace('["*"]', '["a.test"]')
    .replace("https = []", 'https = ["127.0.0.1:0"]')
)

BAD_FILES = {
    "syntax": ('[server\nhttp = ":80"', "proxy.toml:1"),
    "unknown key": (configuration("http://127.0.0.1:9", site='balence = "x"'), "balance"),
    "no site": (configuration("http://127.0.0.1:9").partition("[[site]]")[0], "site"),
    "half written": (configuration("http://127.0.0.1:9")[:-20], "proxy.toml"),
    "missing": (None, "proxy.toml"),
    "certificate that cannot be read": (
        configuration("http://127.0.0.1:9")
        .replace('mode = "off"', 'mode = "files"\ncertificate = "nowhere.pem"\nprivate_key = "nowhere.key"')
        .replace('["*"]', '["a.test"]')
        .replace("https = []", 'https = ["127.0.0.1:0"]'),
        "nowhere.pem",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_leaves_the_old_configuration_and_names_the_fault(
    start_foregate: StartForegate, origin: Origin, kind: str
) -> None:
    text, fault = BAD_FILES[kind]
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    if text is None:
        gate.file.unlink()
    else:
        gate.file.write_text(text)
    gate.signal(signal.SIGHUP)
    (line,) = gate.wait("configuration refused", trigger="SIGHUP")
    assert any(fault in one for one in line["faults"])
    assert gate.get("/")[0] == 200
    assert gate.metric("foregate_config_last_reload_successful") == 0
    assert gate.metric("foregate_config_reloads_total", result="refused") == 1
    _, status = gate.admin("GET", "/api/v1/status")
    assert status["configuration"]["last_reload_faults"] == line["faults"]


def test_certificate_files_that_are_no_pair_refuse_the_reload(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    authority = Authority(tmp_path)
    (gate.file.parent / "one.pem").write_bytes(authority.pair("a.test").chain)
    (gate.file.parent / "other.pem").write_bytes(authority.pair("a.test").key)
    gate.file.write_text(NO_PAIR)
    ended = gate.command("reload")
    assert ended.returncode == 1
    assert "one.pem" in ended.stderr
    assert gate.get("/")[0] == 200
    (gate.file.parent / "other.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    assert gate.command("reload").returncode == 1


@pytest.mark.parametrize("kind", ["unknown key", "half written"])
def test_the_command_shows_the_faults_and_exits_with_1(
    start_foregate: StartForegate, origin: Origin, kind: str
) -> None:
    text, fault = BAD_FILES[kind]
    assert text is not None
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    gate.file.write_text(text)
    ended = gate.command("reload")
    assert ended.returncode == 1
    assert fault in ended.stderr
    assert "the former one stays in use" in ended.stderr
    assert fault in gate.command("status").stdout


def test_a_port_that_is_taken_refuses_the_reload(start_foregate: StartForegate, origin: Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        gate = start_foregate(configuration(origin.url, workers=1))
        gate.wait_serving(1)
        gate.file.write_text(configuration(origin.url, workers=1, http=["127.0.0.1:0", f"127.0.0.1:{taken}"]))
        ended = gate.command("reload")
        assert ended.returncode == 1
        assert f"cannot listen on 127.0.0.1:{taken}" in ended.stderr
        assert gate.get("/")[0] == 200


def test_listeners_come_and_go_and_their_connections_live_on(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url))
    gate.wait_serving(2)
    before = gate.port
    with socket.create_connection(("127.0.0.1", before), PATIENCE) as kept:
        ask(kept)
        gate.file.write_text(configuration(origin.url, http=["127.0.0.2:0"]))
        assert gate.command("reload").returncode == 0
        host, port = gate.address("http")
        assert host == "127.0.0.2"
        with socket.create_connection((host, port), PATIENCE) as new:
            ask(new)
        with pytest.raises(ConnectionRefusedError):
            connect_until_refused(before)
        ask(kept)


def ask(client: socket.socket) -> None:
    """Send a request on a connection and read its whole answer."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    answer = b""
    while not answer.endswith(b"hello from the origin"):
        piece = client.recv(65536)
        assert piece, answer
        answer += piece


def connect_until_refused(port: int) -> None:
    """Connect until the workers have closed their shares of a listening socket."""
    while True:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()


def test_a_port_that_changes_its_purpose_keeps_its_socket(
    start_foregate: StartForegate, origin: Origin
) -> None:
    port = free_port()
    gate = start_foregate(configuration(origin.url, workers=1, http=[f"127.0.0.1:{port}"]))
    gate.wait_serving(1)
    text = configuration(origin.url, workers=1, http=["127.0.0.1:0"])
    gate.file.write_text(text.replace('metrics = "127.0.0.1:0"', f'metrics = "127.0.0.1:{port}"'))
    ended = gate.command("reload")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert gate.command("health").stdout == "ready\n"


def test_more_and_fewer_workers(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    (first,) = gate.worker_pids()
    gate.file.write_text(configuration(origin.url, workers=3))
    assert gate.command("reload").returncode == 0
    gate.wait_serving(3)
    gate.file.write_text(configuration(origin.url, workers=1))
    assert gate.command("reload").returncode == 0
    gate.wait("worker has drained", 2)
    changes = [change for line in gate.events("configuration reloaded") for change in line["changes"]]
    assert changes == ["server.workers: 1 -> 3", "server.workers: 3 -> 1"]
    assert gate.worker_pids() == [first]
    assert gate.get("/")[0] == 200


def replace_like_an_editor(file: Path, text: str) -> None:
    """Write beside the file and rename."""
    draft = file.with_suffix(".new")
    draft.write_text(text)
    os.replace(draft, file)


def test_a_changed_file_is_noticed_by_itself(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    replace_like_an_editor(gate.file, configuration(origin.url, workers=1, tables='[cache]\nttl = "1s"'))
    (line,) = gate.wait("configuration reloaded", trigger="file change")
    assert line["changes"] == ['cache.ttl: "3s" -> "1s"']


def test_the_socket_moves_with_the_storage(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    gate.file.write_text(configuration(origin.url, workers=1).replace('"storage"', '"elsewhere"'))
    gate.signal(signal.SIGHUP)
    gate.wait("configuration reloaded")
    assert moved_status(gate)["state"] == "serving"
    assert not (gate.file.parent / "storage" / "admin.sock").exists()


def moved_status(gate: Foregate) -> dict[str, object]:
    gate.storage = gate.file.parent / "elsewhere"
    status: dict[str, object] = gate.admin("GET", "/api/v1/status")[1]
    return status
