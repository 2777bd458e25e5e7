"""Who the client is, on a real instance: a header before TLS, proxies in front, addresses that change for nobody."""

import ssl

import pytest

from tests.fakes.callers import Caller, Reply
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

BALANCER, PROXY, DIRECT = "127.0.0.2", "127.0.0.3", "127.0.0.4"
TABLES = f"""
[client_ip]
trusted = ["{PROXY}"]
[rate_limit]
rate = "1/h"
burst = 2
[firewall]
deny = ["203.0.113.0/24"]
[cache]
ttl = "0s"
"""


def first_line(source: str) -> bytes:
    return f"PROXY TCP4 {source} 192.0.2.1 4711 443\r\n".encode()


@pytest.fixture
def gate(start_foregate: StartForegate, origin: Origin) -> Foregate:
    text = configuration(
        origin.url, workers=2, server=f'proxy_protocol = ["{BALANCER}"]', tables=TABLES, site=""
    )
    text = text.replace('mode = "off"', 'mode = "self-signed"').replace(
        "https = []", 'https = ["127.0.0.1:0"]'
    )
    gate = start_foregate(text.replace('["*"]', '["a.test"]'))
    gate.wait_serving(2)
    return gate


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def asks(gate: Foregate, source: str, first: bytes = b"", **fields: str) -> Reply:
    """Send one request over https."""
    with Caller(gate.address("https"), source, first=first, tls=trusting()) as caller:
        return caller.ask("/", **fields)


def test_clients_are_told_apart_by_what_they_cannot_choose(gate: Foregate, origin: Origin) -> None:
    # Behind the balancer: each source has a bucket of its own, and no field changes that.
    seven, eight = first_line("198.51.100.7"), first_line("198.51.100.8")
    assert [asks(gate, BALANCER, seven).status for _ in range(3)] == [200, 200, 429]
    assert asks(gate, BALANCER, seven, X_Forwarded_For="198.51.100.99").status == 429
    assert asks(gate, BALANCER, eight, X_Forwarded_For="198.51.100.99").status == 200
    assert origin.requests[-1].all("x-forwarded-for") == ["198.51.100.8"]
    # Behind the trusted proxy: the last address that it names, whatever stands before it.
    spoofed = [f"198.51.100.{number}, 192.0.2.50" for number in range(3)]
    assert [asks(gate, PROXY, X_Forwarded_For=value).status for value in spoofed] == [200, 200, 429]
    # Directly: the peer, whatever it says.
    assert [
        asks(gate, DIRECT).status,
        asks(gate, DIRECT, X_Forwarded_For="198.51.100.1").status,
        asks(gate, DIRECT, X_Real_IP="198.51.100.1").status,
        asks(gate, DIRECT, Forwarded="for=198.51.100.1").status,
    ] == [200, 200, 429, 429]
    assert asks(gate, DIRECT, CF_Connecting_IP="198.51.100.1", True_Client_IP="198.51.100.1").status == 429


def test_who_is_turned_away_before_tls(gate: Foregate) -> None:
    # By the rules, for whom the header names.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asks(gate, BALANCER, first_line("203.0.113.5"))
    # A trusted proxy's connection stays; its client is refused.
    assert asks(gate, PROXY, X_Forwarded_For="203.0.113.5").status == 403
    gate.wait_metric(1, "foregate_connections_refused_total", reason="firewall")
    # A balancer without a header, and a stranger with one.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asks(gate, BALANCER)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asks(gate, DIRECT, first_line("198.51.100.7"))
    gate.wait_metric(1, "foregate_connections_refused_total", reason="proxy_protocol")
