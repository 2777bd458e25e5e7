import asyncio
import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import pytest

from proxy.upstream.addresses import HealthCheck, HealthReport, TargetKey
from proxy.upstream.probe import (
    FALL,
    REPEAT,
    RISE,
    HealthClient,
    Prober,
    ProbeState,
    health_request,
    in_words,
)
from tests.fakes.certificates import Authority

CHECK = HealthCheck(path="/healthz?deep=1", authority="app.example.com", interval=0.01)
ANSWER = b"HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\nok"


def key(port: int = 80, *, scheme: str = "http", **fields: str) -> TargetKey:
    return TargetKey(
        **{"scheme": scheme, "host": "app", "address": "127.0.0.1", **fields}, port=port, check=CHECK
    )


class Origin(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Answers each connection with fixed octets and keeps what it was asked."""

    daemon_threads = False

    def __init__(self, answer: bytes | None, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.answer = answer
        self.context = context
        self.requests: list[bytes] = []

    def stop(self) -> None:
        """Stop, and wait for every connection to end."""
        self.shutdown()
        self.server_close()

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with contextlib.suppress(OSError):
            if self.context is None:
                self._serve(request)
            else:
                with self.context.wrap_socket(request, server_side=True) as secure:
                    self._serve(secure)

    def _serve(self, connection: socket.socket) -> None:
        self.requests.append(connection.recv(65536))
        if self.answer is None:
            connection.recv(1)
        else:
            connection.sendall(self.answer)


@asynccontextmanager
async def origin(
    answer: bytes | None, *, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Origin, int]]:
    app = Origin(answer, context)
    thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield app, app.server_address[1]
    finally:
        await asyncio.to_thread(app.stop)
        thread.join()


class TestProbeState:
    @pytest.fixture
    def state(self) -> ProbeState:
        return ProbeState(key())

    def test_it_is_healthy_until_proven_otherwise(self, state: ProbeState) -> None:
        assert state.healthy
        assert not state.note("")

    def test_it_falls_and_rises_after_some_in_a_row(self, state: ProbeState) -> None:
        assert [state.note("answered 503") for _ in range(FALL)] == [False] * (FALL - 1) + [True]
        assert state.report() == HealthReport(key=state.key, healthy=False, reason="answered 503")
        assert [state.note("") for _ in range(RISE)] == [False] * (RISE - 1) + [True]
        assert state.report() == HealthReport(key=state.key, healthy=True)

    def test_one_good_probe_between_bad_ones_starts_the_count_anew(self, state: ProbeState) -> None:
        for _ in range(5):
            assert not any(state.note(fault) for fault in ("bad",) * (FALL - 1))
            assert not state.note("")

    def test_a_new_reason_is_kept_without_a_change(self, state: ProbeState) -> None:
        for _ in range(FALL):
            state.note("answered 503")
        assert not state.note("no answer")
        assert state.reason == "no answer"

    def test_a_probe_that_disagrees_is_repeated_soon(self, state: ProbeState) -> None:
        assert state.pause(10.0, 0.5) == 10.0
        assert state.pause(10.0, 0.0) == 9.0
        assert state.pause(10.0, 1.0) == 11.0
        state.note("bad")
        assert state.pause(10.0, 0.5) == REPEAT
        assert state.pause(0.1, 0.5) == 0.1


@pytest.mark.parametrize(
    ("fields", "authority", "expected"),
    [
        ({"scheme": "http", "host": "app", "port": 80}, "", b"app"),
        ({"scheme": "http", "host": "app", "port": 3000}, "", b"app:3000"),
        ({"scheme": "https", "host": "::1", "port": 443}, "", b"[::1]"),
        ({"scheme": "unix", "host": "", "port": 0, "path": "/s"}, "", b"localhost"),
        ({"scheme": "http", "host": "app", "port": 3000}, "app.example.com", b"app.example.com"),
    ],
)
def test_the_host_of_a_probe(fields: dict[str, str | int], authority: str, expected: bytes) -> None:
    check = HealthCheck(path="/", authority=authority, interval=1.0)
    target = TargetKey(
        scheme=str(fields["scheme"]),
        host=str(fields["host"]),
        port=int(fields["port"]),
        path=str(fields.get("path", "")),
        check=check,
    )
    assert dict(health_request(target).headers)[b"host"] == expected


def test_a_target_without_a_check_cannot_be_probed() -> None:
    with pytest.raises(ValueError, match="nothing to probe"):
        health_request(TargetKey(scheme="http", host="app", port=80))


class TestHealthClient:
    @pytest.fixture
    def client(self) -> HealthClient:
        return HealthClient()

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (ANSWER % 200, ""),
            (ANSWER % 302, ""),
            (b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER % 204, ""),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
            (ANSWER % 404, "answered 404"),
            (ANSWER % 503, "answered 503"),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP response: "),
            (b"", "not an HTTP response: "),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "not an HTTP response: "),
        ],
    )
    async def test_answers(self, client: HealthClient, answer: bytes, expected: str) -> None:
        async with origin(answer) as (app, port):
            fault = await client.probe(key(port))
        assert fault.startswith(expected) if expected else not fault
        head = app.requests[0]
        assert head.startswith(b"GET /healthz?deep=1 HTTP/1.1\r\n")
        assert b"\r\nHost: app.example.com\r\n" in head

    async def test_an_answer_that_does_not_come(self) -> None:
        async with origin(None) as (_, port):
            assert await HealthClient(timeout=0.05).probe(key(port)) == "timed out after 0.05 s"

    async def test_a_refused_connection(self, client: HealthClient) -> None:
        async with origin(b"") as (_, port):
            pass
        assert await client.probe(key(port)) == "connection refused"

    async def test_a_unix_socket_that_is_not_there(self, client: HealthClient, tmp_path: Path) -> None:
        path = str(tmp_path / "app.sock")
        assert await client.probe(key(0, scheme="unix", host="", path=path)) == "no such file or directory"

    async def test_https_to_an_app_without_tls(self, client: HealthClient) -> None:
        async with origin(ANSWER % 200) as (_, port):
            assert (await client.probe(key(port, scheme="https"))).startswith("TLS: ")

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
            (OSError(113, "Connect call failed ('10.0.0.1', 80)"), "no route to host"),
            (ConnectionResetError(104, "whatever"), "connection reset by peer"),
            (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] (_ssl.c:1006)"), "TLS: "),
            (OSError("Multiple exceptions"), "Multiple exceptions"),
            (OSError(), "the connection failed"),
        ],
    )
    def test_what_went_wrong_in_words(self, fault: OSError, said: str) -> None:
        assert in_words(fault).startswith(said)

    async def test_a_unix_socket(self, client: HealthClient, tmp_path: Path) -> None:
        path = str(tmp_path / "app.sock")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(ANSWER % 200)
            writer.close()

        async with await asyncio.start_unix_server(serve, path):
            assert await client.probe(key(0, scheme="unix", host="", path=path)) == ""

    async def test_https_is_verified(self, client: HealthClient, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        context = authority.server_context("app.internal")
        ca_file = str(authority.ca_file)
        async with origin(ANSWER % 200, context=context) as (_, port):
            good = key(port, scheme="https", ca_file=ca_file, server_name="app.internal")
            assert await client.probe(good) == ""
            named_by_host = key(port, scheme="https", ca_file=ca_file, host="app.internal")
            assert await client.probe(named_by_host) == ""
            wrong_name = await client.probe(key(port, scheme="https", ca_file=ca_file))
            assert wrong_name.startswith("TLS: Hostname mismatch")
            unknown_ca = await client.probe(key(port, scheme="https", server_name="app.internal"))
            assert unknown_ca.startswith("TLS: ")
            assert "certificate" in unknown_ca

    async def test_a_ca_file_that_cannot_be_loaded(self, client: HealthClient, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.pem")
        fault = await client.probe(key(443, scheme="https", ca_file=missing))
        assert fault == f"cannot load {missing}: No such file or directory"

    async def test_a_ca_file_is_read_anew_after_a_reload(self, client: HealthClient, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        target = key(443, scheme="https", ca_file=str(authority.ca_file), server_name="app.internal")
        first = client._context(target.ca_file)
        assert client._context(target.ca_file) is first
        client.forget_contexts()
        assert client._context(target.ca_file) is not first


class Verdicts:
    """A prober whose probes give what `faults` says now."""

    def __init__(self) -> None:
        self.faults: dict[int, str] = {}
        self.told: asyncio.Queue[HealthReport] = asyncio.Queue()
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.prober = Prober(self.told.put_nowait, probe=self.probe, share=lambda: 0.5)

    async def probe(self, target: TargetKey) -> str:
        self.asked.put_nowait(target.port)
        return self.faults.get(target.port, "")

    async def asked_for(self, port: int) -> None:
        while await self.asked.get() != port:
            continue

    @asynccontextmanager
    async def running(self, *targets: TargetKey) -> AsyncIterator[None]:
        self.prober.update(targets)
        task = asyncio.create_task(self.prober.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class TestProber:
    @pytest.fixture
    def verdicts(self) -> Verdicts:
        return Verdicts()

    async def test_only_changes_are_told(self, verdicts: Verdicts) -> None:
        async with verdicts.running(key(1), key(2)):
            await verdicts.asked_for(1)
            verdicts.faults[1] = "answered 503"
            assert await verdicts.told.get() == HealthReport(key=key(1), healthy=False, reason="answered 503")
            assert {report.healthy for report in verdicts.prober.snapshot()} == {True, False}
            verdicts.faults[1] = ""
            assert await verdicts.told.get() == HealthReport(key=key(1), healthy=True)
        assert verdicts.told.empty()

    async def test_targets_come_and_go(self, verdicts: Verdicts) -> None:
        verdicts.faults[1] = "answered 503"
        async with verdicts.running(key(1)):
            await verdicts.told.get()
            verdicts.prober.update([key(2)])
            farewell = await verdicts.told.get()
            assert (farewell.key, farewell.healthy) == (key(1), True)
            await verdicts.asked_for(2)
            assert [report.key for report in verdicts.prober.snapshot()] == [key(2)]

    async def test_a_target_that_is_taken_out_and_put_back_is_probed_on(self, verdicts: Verdicts) -> None:
        async with verdicts.running(key(1)):
            await verdicts.asked_for(1)
            verdicts.prober.update([])
            verdicts.prober.update([key(1)])
            verdicts.faults[1] = "answered 503"
            assert not (await verdicts.told.get()).healthy

    async def test_the_verdict_on_a_target_that_stays_stands(self, verdicts: Verdicts) -> None:
        verdicts.faults[1] = "answered 503"
        async with verdicts.running(key(1)):
            await verdicts.told.get()
            verdicts.prober.update([key(1), key(2)])
            await verdicts.asked_for(2)
        assert {r.key.port: r.healthy for r in verdicts.prober.snapshot()} == {1: False, 2: True}
        assert verdicts.told.empty()

    async def test_targets_without_a_check_are_left_alone(self, verdicts: Verdicts) -> None:
        verdicts.prober.update([TargetKey(scheme="http", host="app", port=80)])
        assert verdicts.prober.snapshot() == ()

    async def test_a_bug_in_a_probe_does_not_end_the_probing(self) -> None:
        told: asyncio.Queue[HealthReport] = asyncio.Queue()

        async def probe(target: TargetKey) -> str:
            raise h11.LocalProtocolError("no such path")

        prober = Prober(told.put_nowait, probe=probe, share=lambda: 0.0)
        prober.update([key(1)])
        task = asyncio.create_task(prober.run())
        assert "no such path" in (await told.get()).reason
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
