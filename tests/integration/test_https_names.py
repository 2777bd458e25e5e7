"""Which certificate a visitor gets by the name it asks for, and which requests belong to it."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.foregate import Foregate
from tests.fakes.https import PATIENCE, Visitor, https_configuration, refused, site
from tests.fakes.origin import Origin, running_origin
from tests.integration.conftest import StartForegate

SELF_SIGNED = 'tls = { mode = "self-signed", hsts = "180d" }'
GROUPED = 'tls = { mode = "self-signed", group = true }'


def visitor(gate: Foregate) -> Visitor:
    """Return a browser that trusts the local CA, which is made with the first certificate."""
    gate.wait("certificate in use")
    root = gate.storage / "local-ca" / "root.pem"
    browser = Visitor(gate.address("https"), root.read_bytes())
    browser.context.check_hostname = False  # the names that are asked for here are odd ones
    return browser


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foregate]:
    """Return an instance with two sites; the second has two names in one certificate."""
    with running_origin() as origin:
        sites = site("one.test", upstream=origin.url, more=SELF_SIGNED)
        sites += site("two.test", "three.test", upstream=origin.url, more=GROUPED)
        gate = Foregate(tmp_path_factory.mktemp("foregate"), https_configuration(sites))
        try:
            gate.wait_serving(2)
            gate.wait("certificate in use", 3)
            yield gate
        finally:
            gate.close()


def names_of(browser: Visitor, server_name: str | None) -> list[str]:
    """Return the host names in the certificate that a visitor is shown."""
    with browser.connect(server_name) as connection:
        found = connection.getpeercert() or {}
    return [str(pair[1]) for pair in found["subjectAltName"]]


@pytest.mark.parametrize("server_name", ["one.test", "ONE.Test", "one.test."])
def test_the_name_is_found_whatever_its_case_and_trailing_dot(gate: Foregate, server_name: str) -> None:
    browser = visitor(gate)
    assert names_of(browser, server_name) == ["one.test"]
    assert browser.get("one.test", server_name=server_name).status == 200


def test_an_unknown_name_or_none_is_refused_where_there_are_several_sites(gate: Foregate) -> None:
    browser = visitor(gate)
    for server_name in ("unknown.test", None, "one.test.evil.test"):
        with refused("TLSV1_UNRECOGNIZED_NAME"):
            browser.connect(server_name)


def test_without_a_name_the_only_site_answers(start_foregate: StartForegate, origin: Origin) -> None:
    sites = site("only.test", upstream=origin.url, more=SELF_SIGNED)
    browser = visitor(start_foregate(https_configuration(sites, workers=1)))
    assert names_of(browser, None) == ["only.test"]
    with refused("TLSV1_UNRECOGNIZED_NAME"):
        browser.connect("unknown.test")


def test_a_site_for_any_name_greets_everybody(start_foregate: StartForegate, origin: Origin) -> None:
    sites = site("*", upstream=origin.url, more=SELF_SIGNED)
    gate = start_foregate(https_configuration(sites, workers=2))
    browser = visitor(gate)
    assert "localhost" in names_of(browser, None)
    for server_name in ("any.test", "ANY.test.", "sub.any.test", "any.test"):
        assert names_of(browser, server_name) == [server_name.lower().rstrip(".")]
    assert browser.get("localhost", host="whatever.test").status == 200


@pytest.mark.parametrize(
    ("server_name", "host", "status"),
    [
        ("one.test", "one.test", 200),
        ("one.test", "ONE.test:443", 200),
        ("one.test", "two.test", 421),
        ("one.test", "unknown.test", 421),
        ("two.test", "three.test", 200),
    ],
)
def test_a_request_for_a_host_of_another_certificate_is_misdirected(
    gate: Foregate, server_name: str, host: str, status: int
) -> None:
    assert visitor(gate).get(server_name, host=host).status == status


def test_plain_http_on_the_https_port_is_told_so(gate: Foregate) -> None:
    with socket.create_connection(gate.address("https"), PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n")
        answer = b""
        while octets := connection.recv(4096):
            answer += octets
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https" in answer


def test_hsts_is_sent_over_https_alone(gate: Foregate) -> None:
    browser = visitor(gate)
    assert browser.get("one.test").fields["strict-transport-security"] == "max-age=15552000"
    assert browser.get("two.test").fields["strict-transport-security"] is None
    assert gate.get("/", Host="one.test")[0] == 308


def test_older_and_newer_versions_of_tls(gate: Foregate) -> None:
    browser = visitor(gate)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        browser.context.minimum_version = browser.context.maximum_version = version
        with browser.connect("one.test") as connection:
            assert connection.version() == version.name.replace("_", ".")


def test_the_local_ca_is_made_once(start_foregate: StartForegate, origin: Origin, tmp_path: Path) -> None:
    config = https_configuration(
        site("dev.test", upstream=origin.url, more=SELF_SIGNED), workers=1, storage=str(tmp_path / "kept")
    )
    root = tmp_path / "kept" / "local-ca" / "root.pem"
    first = start_foregate(config)
    first.wait("certificate in use")
    trusted = root.read_bytes()
    first.terminate()
    second = start_foregate(config)
    second.wait_listening()
    assert Visitor(second.address("https"), trusted).get("dev.test").status == 200
    assert root.read_bytes() == trusted


def test_where_the_redirect_leads(start_foregate: StartForegate, origin: Origin) -> None:
    sites = site("one.test", upstream=origin.url, more=SELF_SIGNED)
    sites += site("new.test", upstream=origin.url)  # its CA does not answer
    sites += site("plain.test", upstream=origin.url, more='tls = { mode = "off" }')
    gate = start_foregate(https_configuration(sites, workers=1))
    gate.wait_serving(1)
    gate.wait("certificate in use", name="one.test")
    gate.wait("certificate problem", name="new.test")
    assert gate.get("/", Host="one.test")[0] == 308
    assert gate.get("/", Host="new.test")[0] == 307
    assert gate.get("/", Host="plain.test")[0] == 200


def test_who_has_https_already_is_not_redirected_for_ever(
    start_foregate: StartForegate, origin: Origin
) -> None:
    sites = site("one.test", upstream=origin.url, more=SELF_SIGNED)
    server = 'proxy_protocol = ["127.0.0.1/32"]'
    trust = '[client_ip]\ntrusted = ["198.51.100.7/32"]'
    gate = start_foregate(https_configuration(sites, workers=1, server=server, tables=trust))
    gate.wait("certificate in use")

    def status(peer: str, field: str) -> int:
        with socket.create_connection(gate.address("http"), PATIENCE) as connection:
            head = f"PROXY TCP4 {peer} 203.0.113.1 4711 80\r\nGET / HTTP/1.1\r\nHost: one.test\r\n{field}\r\n\r\n"
            connection.sendall(head.encode())
            return int(connection.recv(4096).split()[1])

    edge, trusted, anybody = "173.245.48.9", "198.51.100.7", "192.0.2.9"
    flexible, plain = 'CF-Visitor: {"scheme":"https"}', 'CF-Visitor: {"scheme":"http"}'
    forwarded = "X-Forwarded-Proto: https"
    assert [status(edge, field) for field in (flexible, plain, forwarded)] == [200, 308, 308]
    assert [status(trusted, field) for field in (flexible, forwarded)] == [308, 200]
    assert [status(anybody, field) for field in (flexible, forwarded)] == [308, 308]
