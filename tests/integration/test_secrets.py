"""Nothing secret leaves a running instance, in whatever it writes and whatever goes wrong meanwhile."""

import os
import signal
import socket
import stat
from pathlib import Path

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse
from tests.integration.conftest import StartForegate

SECRET = "hunter2hunter2"
REQUESTS = (
    f"GET /?token={SECRET}&password=x{SECRET} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {SECRET}\r\nConnection: close\r\n\r\n",
    f"GET /fails HTTP/1.1\r\nHost: a.test\r\nX-Api-Key: {SECRET}\r\nCookie: id={SECRET}\r\nConnection: close\r\n\r\n",
    f"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {len(SECRET)}\r\nConnection: close\r\n\r\n{SECRET}",
    f"GET / HTTP/1.1\r\nHost: a.test\r\nCookie : {SECRET}\r\n\r\n",
    f"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SECRET}\r\n\r\n",
    f"{SECRET}\r\n\r\n",
)
SERVER = f"""admin = "127.0.0.1:0"
admin_token = "{SECRET}admin"
redirect_https = false"""


def started(
    start_foregate: StartForegate, origin: Origin, server: str = "redirect_https = false"
) -> Foregate:
    """Start an instance with https, and logs that say as much as they ever do."""

    def answer(request: OriginRequest) -> OriginResponse:
        return OriginResponse(status=600 if request.target == "/fails" else 200)

    origin.answer = answer
    text = configuration(origin.url, workers=1, server=server, tables='[cache]\nttl = "0s"\n')
    text = text.replace("https = []", 'https = ["127.0.0.1:0"]').replace(
        'mode = "off"', 'mode = "self-signed"'
    )
    gate = start_foregate(text.replace('["*"]', '["a.test"]'))
    gate.wait_serving(1)
    gate.wait("certificate in use")
    return gate


def asked(gate: Foregate, request: str) -> bytes:
    """Send a request on a connection of its own; return everything that comes."""
    with socket.create_connection(gate.address("http"), PATIENCE) as sock:
        sock.sendall(request.encode())
        received = b""
        while octets := sock.recv(65536):
            received += octets
        return received


def test_no_secret_is_written_anywhere(start_foregate: StartForegate, origin: Origin) -> None:
    gate = started(start_foregate, origin, SERVER)
    answers = [asked(gate, request) for request in REQUESTS]
    assert [answer[9:12] for answer in answers] == [b"200", b"200", b"502", b"200", b"400", b"400", b"400"]
    text = gate.file.read_text()
    for changed in (
        text.replace(f"{SECRET}admin", f"{SECRET}other"),
        text.replace(f'"{SECRET}admin"', f"[{SECRET}"),
    ):
        gate.file.write_text(changed)
        gate.signal(signal.SIGHUP)
        gate.wait("configuration reloaded" if "other" in changed else "configuration refused")
    metrics = gate.get("/metrics", "metrics")[1]
    assert gate.terminate() == 0
    assert len(gate.access_log.splitlines()) == len(REQUESTS)
    for written in (*answers, metrics, gate.text.encode(), gate.access_log):
        assert SECRET.encode() not in written


def test_keys_are_readable_by_their_user_alone_and_memory_by_nobody(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = started(start_foregate, origin)
    kept = [gate.storage, *gate.storage.rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept}
    assert any(path.is_file() for path in kept)
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    for pid in (gate.process.pid, *gate.worker_pids()):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (core,) = (line.split()[4:6] for line in limits if line.startswith("Max core file size"))
        assert core == ["0", "0"]


def test_administration_is_closed_to_the_network_unless_configured(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    (line,) = (line for line in gate.events("listening") if line["on"].startswith("admin "))
    assert line["address"].endswith("admin.sock")
    assert stat.S_IMODE(os.stat(gate.storage / "admin.sock").st_mode) == 0o600
    assert gate.get("/api/v1/status")[0] == 200  # the app's, not ours
    assert gate.get("/api/v1/status", "metrics")[0] == 404
