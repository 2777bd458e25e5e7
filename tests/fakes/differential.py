"""Random messages through a gateway, and what several other implementations make of the octets that come out.

Two of them that accept the octets must find the same messages in them, and these must be what the gateway meant: its
own requests and answers, counted on the other side of it. A reader may refuse what the gateway passes on.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tests.fakes.gateway import until
from tests.fakes.peer import Message
from tests.fakes.playbook import Play
from tests.fakes.readers import (
    RefusedError,
    Seen,
    requests_by_gunicorn,
    requests_by_h11,
    requests_by_llhttp,
    responses_by_h11,
    responses_by_http_client,
    responses_by_llhttp,
)
from tests.fakes.strict_app import StrictApp
from tests.fakes.warped_loop import turns

WITNESS: Final = b"GET /witness HTTP/1.1\r\nHost: a.test\r\n\r\n"
#: Turns of the event loop that a message gets before its sender hangs up.
TURNS: Final = 16
REQUEST_READERS: Final = {
    "h11": requests_by_h11,
    "llhttp": requests_by_llhttp,
    "gunicorn": requests_by_gunicorn,
}
RESPONSE_READERS: Final = {
    "h11": responses_by_h11,
    "llhttp": responses_by_llhttp,
    "http.client": responses_by_http_client,
}


@dataclass(slots=True)
class Findings:
    """What came of so many messages; `disagreements` must stay empty."""

    counts: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    def disagree(self, what: str, sent: bytes, stream: bytes) -> None:
        """Note a disagreement with what shows it again."""
        self.disagreements.append(f"{what}\n  sent {sent!r}\n  came {stream!r}")


class OddApp(StrictApp):
    """Answers /odd with whatever it was given, and everything else properly."""

    response = b""

    def answer(self, message: Message) -> bytes:
        """Return the octets to answer with."""
        if message.target == "/odd":
            return self.response
        return b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwitness"


async def _connect(play: Play) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", play.gateway.port))
    return sock


async def _offer(sock: socket.socket, octets: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(sock, octets)
    await turns(TURNS)


async def _rest(sock: socket.socket) -> bytes:
    """Send no more, and receive everything up to the end."""
    loop = asyncio.get_running_loop()
    stream = b""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while octets := await loop.sock_recv(sock, 65536):
            stream += octets
    sock.close()
    return stream


def compare(
    readings: dict[str, list[Seen] | RefusedError], meant: list[Seen], findings: Findings
) -> list[str]:
    """Compare what readers make of a stream with what the gateway meant; return who differs."""
    wrong = []
    for name, reading in readings.items():
        if isinstance(reading, RefusedError):
            findings.counts[f"refused by {reading}"] += 1
            if meant[: len(reading.seen)] != reading.seen:
                wrong.append(f"{name} reads {reading.seen} and refuses the rest")
        elif reading != meant:
            wrong.append(f"{name} reads {reading}, meant were {meant}")
    return wrong


async def request(play: Play, app: StrictApp, octets: bytes, findings: Findings) -> tuple[bytes, list[Seen]]:
    """Send octets as a client; return what the app got, and as which messages."""
    app.forget()
    sock = await _connect(play)
    await _offer(sock, octets + WITNESS)
    answers = await _rest(sock)
    await until(lambda: play.gateway.open.get("clients", 0) == play.gateway.in_flight == 0)
    await turns(2)
    meant = [
        Seen((one.start.split(" ")[0].encode(), one.target.encode("latin-1")), one.content)
        for one in app.whole
    ]
    stream = b"".join(app.octets)
    findings.counts["requests sent"] += 1
    findings.counts["requests forwarded"] += len(meant)
    findings.counts["requests cut short"] += len(app.unfinished)
    readings: dict[str, list[Seen] | RefusedError] = {}
    for name, reader in REQUEST_READERS.items():
        try:
            readings[name] = reader(stream)
        except RefusedError as error:
            readings[name] = error
    wrong = compare(readings, meant, findings) + app.faults
    echoes = [one.content for one in responses_by_h11(answers, [b"GET"] * 20) if one.start == (b"200",)]
    starts = [one.start.encode("latin-1") for one in app.whole]
    if echoes != starts[: len(echoes)] and b"HEAD" not in octets:
        wrong.append(f"answers {echoes} to {starts}")
    for what in wrong:
        findings.disagree(what, octets, stream)
    return stream, meant


async def response(play: Play, app: OddApp, octets: bytes, findings: Findings) -> None:
    """Let the app answer with octets, then properly, and compare what the client gets."""
    app.forget()
    app.response = octets
    sock = await _connect(play)
    await _offer(sock, b"GET /odd HTTP/1.1\r\nHost: a.test\r\n\r\n")
    await _offer(sock, WITNESS)
    if play.gateway.in_flight:
        app.hang_up()
    stream = await _rest(sock)
    await until(lambda: play.gateway.open.get("clients", 0) == 0)
    readings: dict[str, list[Seen] | RefusedError] = {}
    for name, reader in RESPONSE_READERS.items():
        try:
            readings[name] = reader(stream, [b"GET", b"GET"])
        except RefusedError as error:
            readings[name] = error
    reference = readings["h11"]
    meant = reference.seen if isinstance(reference, RefusedError) else reference
    findings.counts["responses sent"] += 1
    findings.counts["responses relayed whole"] += bool(meant) and meant[0].start != (b"502",)
    findings.counts["responses answered 502"] += bool(meant) and meant[0].start == (b"502",)
    findings.counts["responses cut short"] += not meant
    wrong = compare(readings, meant, findings) + app.faults
    if len(meant) == 2 and meant[1] not in (Seen((b"200",), b"witness"), Seen((b"502",), meant[1].content)):
        wrong.append(f"the witness got {meant[1]}")
    for what in wrong:
        findings.disagree(what, octets, stream)
