"""TLS with the clients that people use: curl and OpenSSL's s_client."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.downstream.client_hello import ClientHello, read_whole_client_hello
from tests.fakes.certificates import Authority
from tests.fakes.tls_server import NAME, PATIENCE, TlsServer, pattern

GET = "GET /10 HTTP/1.1\nHost: app.example.com\nConnection: close\n\n"


@pytest.fixture
def server(authority: Authority) -> Iterator[TlsServer]:
    with TlsServer(authority) as server:
        yield server


def curl(server: TlsServer, path: str, *options: str) -> bytes:
    command = ["curl", "-sS", "--fail", "--noproxy", "*", "--cacert", str(server.authority.ca_file)]
    command += ["--connect-to", f"{NAME}:443:127.0.0.1:{server.port}", *options, f"https://{NAME}{path}"]
    return subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout


def s_client(server: TlsServer, *options: str, commands: str = GET) -> str:
    """Run s_client with what is typed into it; return all it prints."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", NAME]
    command += ["-CAfile", str(server.authority.ca_file), "-crlf", *options]
    done = subprocess.run(command, input=commands, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [(), ("--tls-max", "1.2"), ("--http1.0",), ("--no-alpn",), ("--no-sessionid",), ("--tlsv1.3",)],
    ids=lambda options: options[0] if options else "default",
)
def test_curl(server: TlsServer, options: tuple[str, ...]) -> None:
    assert curl(server, "/1000000", *options) == pattern(0, 1_000_000)


def test_curl_uploads(server: TlsServer, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(pattern(0, 3_000_000))
    digest = curl(server, "/", "--data-binary", f"@{tmp_path / 'content'}", "-H", "Expect:")
    assert re.fullmatch(rb"[0-9a-f]{64}", digest)


@pytest.mark.sources
def test_the_hello_of_curl_is_understood(authority: Authority) -> None:
    seen: list[ClientHello | None] = []

    def watching(received: bytes) -> ClientHello | None:
        seen.append(read_whole_client_hello(received))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.downstream.tls_accept.read_whole_client_hello", watching)
        with TlsServer(authority) as server:
            curl(server, "/10")
    (hello,) = seen
    assert hello is not None
    assert hello.server_name == NAME
    assert b"http/1.1" in hello.alpn


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client_resumes_a_session(server: TlsServer, version: str, tmp_path: Path) -> None:
    session = str(tmp_path / "session")
    first = s_client(server, version, "-sess_out", session, "-ign_eof")
    assert "Verify return code: 0 (ok)" in first
    assert "\nNew, " in first
    second = s_client(server, version, "-sess_in", session, "-ign_eof")
    assert "\nReused, " in second
    assert server.counts["resumed"] == 1


def test_renegotiation_is_refused(server: TlsServer) -> None:
    output = s_client(server, "-tls1_2", commands="R\n")
    assert "RENEGOTIATING" in output
    assert "no renegotiation" in output
    assert server.counts["full"] == 1
    assert "Secure Renegotiation IS supported" in output


def test_key_updates_are_answered(server: TlsServer) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_3", "-crlf", "-msg"]
    options = ["-servername", NAME, "-CAfile", str(server.authority.ca_file)]
    with subprocess.Popen(
        [*command, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        assert client.stdin
        assert client.stdout

        def read_until(text: str) -> None:
            assert client.stdout
            assert any(text in line for line in client.stdout), text

        read_until("Verify return code: 0")
        for letter in "kK":
            client.stdin.write(f"{letter}\n")
            client.stdin.flush()
            read_until(">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
        client.stdin.write(GET)
        client.stdin.flush()
        read_until("<<< TLS 1.3, Handshake [length 0005], KeyUpdate")  # due before the next content of ours
        read_until("HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("options", "alert"),
    [
        (("-tls1_3", "-alpn", "h2"), "alert no application protocol"),
        (("-tls1_3", "-servername", "other.example.com"), "unrecognized name"),
        (("-tls1_2", "-cipher", "AES128-SHA"), "alert handshake failure"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"), "alert handshake failure"),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version"),
    ],
)
def test_refusals_are_understood(server: TlsServer, options: tuple[str, ...], alert: str) -> None:
    assert alert in s_client(server, *options)


@pytest.mark.parametrize("suites", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_suites_of_the_client(server: TlsServer, suites: str) -> None:
    assert f"Cipher is {suites}" in s_client(server, "-ciphersuites", suites)


def test_a_client_without_aes_instructions_gets_chacha20(server: TlsServer) -> None:
    suites = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
    assert "Cipher is TLS_CHACHA20_POLY1305_SHA256" in s_client(server, "-ciphersuites", suites)
    suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
    assert "Cipher is TLS_AES_256_GCM_SHA384" in s_client(server, "-ciphersuites", suites)
