"""The project's own hostile requests (tests/wire/hostile) over TLS through a real instance."""

import socket
import ssl
from contextlib import suppress

from tests.fakes.foregate import PATIENCE, configuration
from tests.fakes.hostile import REQUESTS, Case
from tests.fakes.origin import Origin
from tests.fakes.readers import responses_by_h11
from tests.integration.conftest import StartForegate

WITNESS = b"GET /witness HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
TABLES = """[cache]
ttl = "0s"
[rate_limit]
rate = "off"
[limits]
body = "1KB"
head_size = "32KB"
"""
#: Here ":80" is not the usual port.
LEFT_OUT = {"absolute form of ours"}
#: After these a witness is not served any more.
CLOSED = ("Connection: close", "HTTP/1.0")


def due(case: Case) -> list[int]:
    """Return the statuses that a case must get, with the witness behind it where the connection stays open."""
    statuses = case.expected["statuses"] * case.expected.get("times", 1)
    misdirected = [
        421 if status == 404 else status for status in statuses
    ]  # another name than the certificate's
    return misdirected if statuses[-1] >= 400 and statuses[-1] != 404 else [*misdirected, 200]


def exchange(context: ssl.SSLContext, address: tuple[str, int], octets: bytes) -> list[int]:
    """Send octets on a connection of their own; return the final statuses that come."""
    received = b""
    with (
        socket.create_connection(address, PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="a.test") as tls,
    ):
        with suppress(OSError):  # a reset behind what it refuses
            tls.sendall(octets)
        with suppress(OSError):
            while piece := tls.recv(65536):
                received += piece
    return [int(seen.start[0]) for seen in responses_by_h11(received, [b"GET"] * 60)]


def test_hostile_requests_over_tls(start_foregate: StartForegate, origin: Origin) -> None:
    text = configuration(origin.url, workers=1, server="redirect_https = false", tables=TABLES)
    text = text.replace("https = []", 'https = ["127.0.0.1:0"]').replace(
        'mode = "off"', 'mode = "self-signed"'
    )
    gate = start_foregate(text.replace('["*"]', '["a.test"]').replace('level = "debug"', 'access = "off"'))
    gate.wait_serving(1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wrong = []
    for family in REQUESTS.values():
        for case in family:
            if case.name in LEFT_OUT:
                continue
            statuses = exchange(context, gate.address("https"), case.octets + WITNESS)
            if statuses not in (due(case), [*due(case)[:-1]] if case.name.startswith(CLOSED) else None):
                wrong.append(f"{case.family}: {case.name}: {statuses}, due {due(case)}")
    assert wrong == []
    assert [request.target for request in origin.requests if "smuggled" in request.target] == []
