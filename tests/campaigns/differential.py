"""Let other implementations read what the gateway passes on, and look for two that disagree where a message ends.

`python -m tests.campaigns.differential [MESSAGES] [SEED]`: so many random and bent requests go through the gateway to
an app whose octets h11, llhttp and gunicorn read, and then a real nginx, a hundred on one connection; and so many
responses to a client whose octets h11, llhttp and http.client read. Passes when each that accepts them finds the
messages that the gateway meant. The suite runs a few hundred (`tests/wire/test_differential.py`), without nginx.
"""

import asyncio
import logging
import socket
import sys
import time
from typing import Final

import uvloop

from tests.fakes.differential import WITNESS, Findings, OddApp, request, response
from tests.fakes.mutation import Mutator
from tests.fakes.nginx import running_nginx
from tests.fakes.peer import WHOLE
from tests.fakes.playbook import Play
from tests.fakes.readers import Seen, responses_by_h11
from tests.fakes.strict_app import StrictApp

BATCH: Final = 100
_PATIENCE: Final = 20.0
_LOCATION: Final = 'location / { return 200 "$request_method $request_uri"; }'


class Nginx:
    """A real server that tells which requests it has found."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.refused = 0

    def _replies(self, stream: bytes, count: int) -> list[Seen]:
        with socket.create_connection(("127.0.0.1", self._port), _PATIENCE) as sock:
            sock.sendall(stream + WITNESS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            received = b""
            while octets := sock.recv(65536):
                received += octets
        return responses_by_h11(received, [b"GET"] * (count + 1))

    def disagreement(self, messages: list[tuple[bytes, Seen]]) -> str:
        """Say where nginx finds other requests than these, if anywhere; what it refuses is stepped over."""
        while messages:
            meant = [b" ".join(seen.start) for _, seen in messages]
            replies = self._replies(b"".join(octets for octets, _ in messages), len(messages))
            good = [reply for reply in replies if reply.start == (b"200",)]
            found = [reply.content for reply in good]
            if found == [*meant, b"GET /witness"]:
                return ""
            if found != meant[: len(good)]:
                return f"nginx finds {found}, meant were {meant}"
            if len(good) == len(messages):
                return "nginx does not find the witness"
            self.refused += 1
            fault = self.disagreement(
                messages[: len(good)]
            )  # the one before the refused one must end where it does
            if fault:
                return fault
            messages = messages[len(good) + 1 :]
        return ""


async def requests(count: int, seed: int, server: Nginx, findings: Findings) -> None:
    """Send so many requests, and show what the app gets to everybody."""
    mutator = Mutator(seed)
    batch: list[tuple[bytes, Seen]] = []
    async with Play(WHOLE, str(seed)) as play:
        await play.start(limits='body = "1MB"')
        async with StrictApp(play.app) as app:
            for number in range(count):
                octets = mutator.request()
                _, meant = await request(play, app, octets, findings)
                batch += zip(app.octets, meant, strict=True)
                if len(batch) >= BATCH or number == count - 1:
                    fault = server.disagreement(batch)
                    if fault:
                        findings.disagree(fault, b"", b"".join(one for one, _ in batch))
                    findings.counts["requests shown to nginx"] += len(batch)
                    batch = []


async def responses(count: int, seed: int, findings: Findings) -> None:
    """Let the app send so many responses, and show what the client gets to everybody."""
    mutator = Mutator(seed)
    async with Play(WHOLE, str(seed)) as play:
        await play.start()
        async with OddApp(play.app) as app:
            for _ in range(count):
                await response(play, app, mutator.response(), findings)


def main(count: int = 50_000, seed: int = 1) -> int:
    """Run both ways and say what came of it."""
    logging.disable()  # apps fail all the time
    findings = Findings()
    began = time.monotonic()
    with running_nginx(_LOCATION) as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = Nginx(port)
        runner.run(requests(count, seed, server, findings))
        runner.run(responses(count, seed + 1, findings))
        findings.counts["requests refused by nginx"] = server.refused
    print(f"seed {seed}, {time.monotonic() - began:.0f} s, {len(findings.disagreements)} disagreements")
    for name, number in sorted(findings.counts.items()):
        print(f"{name}: {number}")
    print(*findings.disagreements[:20], sep="\n")
    return bool(findings.disagreements)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
