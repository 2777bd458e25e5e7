"""What TLS costs: our transport beside uvloop's own and nginx, each in a process of its own.

`python -m tests.campaigns.tls_costs [ROUNDS]` prints, for each, CPU per keep-alive response of 853 octets, per 10 MB of
content, per connection with one request (resumed, and with a whole handshake), and the resident memory of an idle
connection. They take turns, so that a busy machine treats them alike, and the least of all rounds counts. Behind our
transport and uvloop's is the same application, which answers without reading HTTP; nginx does more, so its figures are
there for the order of magnitude. Needs nginx, wrk and h2load.
"""

import asyncio
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, cast

import uvloop

from proxy.deadlines import DeadlineWheel
from proxy.downstream.tls_accept import TlsAcceptor
from proxy.downstream.tls_certificates import CertificateStore, ServedName
from proxy.downstream.tls_outcomes import HandshakeFailure
from tests.fakes.certificates import Authority

NAME: Final = "app.example.com"
BODY: Final = b"x" * 853
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 853\r\n\r\n" + BODY
LARGE: Final = 10 * 1024 * 1024
LARGE_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE
CHUNK: Final = b"x" * 65536
CONNECTIONS: Final = 200
IDLE: Final = 1000
ROOT: Final = Path(__file__).parents[2]
NGINX: Final = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log warn;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port} ssl backlog=4096; ssl_protocols TLSv1.2 TLSv1.3; default_type text/html;
ssl_certificate {folder}/pair.pem; ssl_certificate_key {folder}/pair.pem;
location / {{ return 200 "{body}"; }} location /large {{ alias {folder}/large; }} }} }}
"""


class Answering(asyncio.Protocol):
    """Answers whatever arrives, at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._left = 0
        self._paused = False

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /large"):
            self._transport.write(LARGE_HEAD)
            self._left = LARGE
            self._send()
        else:
            self._transport.write(ANSWER)
            if b"Connection: close" in data:
                self._transport.close()

    def _send(self) -> None:
        while self._left and not self._paused:
            self._transport.write(CHUNK)
            self._left -= len(CHUNK)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()


class Uncounted:
    """Counts nothing."""

    def handshake_done(self, *, resumed: bool) -> None: ...

    def handshake_failed(self, failure: HandshakeFailure) -> None: ...

    def handshake_held(self) -> None: ...


async def serve(kind: str, folder: Path, port: int) -> None:
    """Serve until killed: "ours", "uvloop" (its own TLS) or "plain" (without TLS)."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", port), backlog=4096)
    if kind == "ours":
        store = CertificateStore(loop, lambda _name: None, clock=loop.time)
        store.wanted({NAME: ServedName()}, default=NAME)
        pem = (folder / "pair.pem").read_bytes()
        store.set(NAME, pem, pem)
        acceptor = TlsAcceptor(
            loop=loop,
            wheel=DeadlineWheel(loop),
            certificates=store,
            application=Answering,
            observer=Uncounted(),
        )
        server = await loop.create_server(acceptor.accept, sock=listening, backlog=4096)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "pair.pem")
        tls = context if kind == "uvloop" else None
        server = await loop.create_server(Answering, sock=listening, ssl=tls, backlog=4096)
    await server.serve_forever()


class Served:
    """One of the servers, and what it is asked and measured."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        if kind == "nginx":
            (folder / "large").write_bytes(bytes(LARGE))
            text = NGINX.format(folder=folder, port=self.port, body=BODY.decode())
            (folder / "conf").write_text(text)
            command = ["nginx", "-e", f"{folder}/log", "-c", f"{folder}/conf"]
        else:
            command = [sys.executable, "-m", __spec__.name, "--serve", kind, str(folder), str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT)
        self._pid = self._wait_for_worker()

    def _wait_for_worker(self) -> int:
        """Return the process that does the work, once it accepts connections."""
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.05)
                continue
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            return int(children[0]) if children else self.process.pid
        raise AssertionError(f"{self.kind} does not start")

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def cpu(self) -> float:
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident(self) -> int:
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def _url(self) -> str:
        return f"{'http' if self.kind == 'plain' else 'https'}://127.0.0.1:{self.port}/"

    def wrk(self, *options: str) -> float:
        """Return CPU microseconds per response on 32 connections."""
        before = self.cpu()
        command = ["wrk", "-t1", "-c32", "-d1s", *options, self._url]
        output = subprocess.run(command, capture_output=True, text=True).stdout
        found = re.search(r"(\d+) requests in", output)
        assert found
        return (self.cpu() - before) / int(found[1]) * 1e6

    def new_connections(self) -> float:
        """Return CPU microseconds per connection with one request, that the client closes."""
        before = self.cpu()
        count = str(CONNECTIONS)
        command = ["h2load", "--h1", "-t1", "-n", count, "-c", count, self._url]
        output = subprocess.run(command, capture_output=True, text=True).stdout
        assert f"{count} succeeded" in output, output
        return (self.cpu() - before) / CONNECTIONS * 1e6

    def connect(self) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port))
        if self.kind == "plain":
            return raw
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(raw, server_hostname=NAME)

    def large(self) -> float:
        """Return CPU milliseconds for 10 MB."""
        buffer = bytearray(65536)
        with self.connect() as client:
            before = self.cpu()
            client.sendall(b"GET /large HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
            left = LARGE
            while left > 0:
                left -= client.recv_into(buffer)
            return (self.cpu() - before) * 1e3

    def idle(self) -> float:
        """Return resident KB per connection that has had one answer."""
        clients = [self._used_once() for _ in range(100)]
        before = self.resident()
        clients += [self._used_once() for _ in range(IDLE)]
        resident = self.resident()
        for client in clients:
            client.close()
        return (resident - before) / IDLE / 1024

    def _used_once(self) -> socket.socket:
        client = self.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        received = 0
        while received < len(BODY):
            received += len(client.recv(65536))
        return client


def measured(server: Served) -> list[float]:
    """Measure once all that varies."""
    figures = [server.wrk(), server.large(), server.wrk("-H", "Connection: close")]
    return [*figures, server.new_connections() if server.kind != "plain" else 0.0]


def main(rounds: int) -> None:
    """Measure, and print one line for each server."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        pair = Authority(folder).pair(NAME)
        (folder / "pair.pem").write_bytes(pair.chain + pair.key)
        servers = [Served(kind, folder) for kind in ("ours", "uvloop", "nginx", "plain")]
        try:
            idle = {server.kind: server.idle() for server in servers}
            least = {server.kind: measured(server) for server in servers}
            for _ in range(rounds - 1):
                for server in servers:
                    pairs = zip(least[server.kind], measured(server), strict=True)
                    least[server.kind] = [min(pair) for pair in pairs]
        finally:
            for server in servers:
                server.close()
    print("server    µs/response  ms/10 MB  µs/resumed connection  µs/new connection  KB/idle connection")
    for kind, (response, large, resumed, new) in least.items():
        print(f"{kind:8} {response:12.1f} {large:9.2f} {resumed:22.0f} {new:18.0f} {idle[kind]:19.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
