"""Let thousands of slow, silent and greedy clients at a running Foregate, and see how an honest one fares meanwhile.

`python -m tests.campaigns.slow_clients [CONNECTIONS]` (1,000 by default; about five minutes; needs Debian's
`slowhttptest`): its four modes (slow heads, slow bodies, ranges, slow reading), and of our own: silent connections,
idle ones, TLS hellos that stop, clients that read nothing of a large answer, and connections that come and go. One
worker, the default deadlines but for a shorter idle time, no limit per address. Passes when the honest client is served
each time and soon, every slow connection is ended by its deadline, and the worker's memory stays within what each may
cost. The suite keeps each deadline on a clock of its own (`tests/wire/test_deadlines.py`).
"""

import asyncio
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.campaigns.streaming_memory import resident
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.nginx import running_nginx
from tests.fakes.tls_hello import openssl_hello

IDLE: Final = 15.0
LARGE: Final = 4_000_000
#: Fewer of those that do not read: the system keeps megabytes for each over loopback, and runs out of memory for TCP.
READERS: Final = 0.2
HUGE: Final = 40_000_000
#: What is sent to /upload is read whole before it is answered.
_LOCATIONS: Final = """
location = /large {} location = /huge {}
location = /upload { proxy_pass http://127.0.0.1:@PORT@/; }
location / { return 200 "small"; }
"""
#: What a client may cost the worker: its share of buffers for one that does not read, little for one that does not ask.
OCTETS_PER_READER: Final = 400_000
OCTETS_PER_CLIENT: Final = 40_000
SLOWEST: Final = 3.0  # seconds that an honest request may take at the worst
PAUSE: Final = 0.05
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_TABLES: Final = f"""[rate_limit]
rate = "off"
[limits]
connections_per_ip = 100000
[timeouts]
idle = "{IDLE:.0f}s"
[cache]
ttl = "0s"
"""
#: Modes of slowhttptest: its options, and seconds; the body's and the reader's deadlines are 30 s, the head's 10 s.
MODES: Final = {
    "slow heads": ("-H", "-i", "5", "-l", "20"),
    "slow bodies": ("-B", "-i", "5", "-s", "8192", "-l", "50"),
    "ranges": ("-R", "-l", "15"),
    "slow reading": ("-X", "-w", "100", "-y", "200", "-n", "1", "-z", "50", "-l", "50"),
}


@dataclass(slots=True)
class Honest:
    """A client that asks for a page now and then, on a connection of its own or on a kept one."""

    port: int
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    finished: bool = False

    async def run(self) -> None:
        """Ask until finished."""
        while not self.finished:
            began = time.monotonic()
            try:
                async with asyncio.timeout(20):
                    await self._ask()
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(repr(error))
            self.seconds.append(time.monotonic() - began)
            await asyncio.sleep(PAUSE)

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"GET /honest HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\nsmall"):
                self.failures.append(repr(answer[:100]))
        finally:
            writer.close()

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        return (
            f"{len(ordered)} honest requests, {len(self.failures)} failed, "
            f"median {ordered[len(ordered) // 2] * 1000:.0f} ms, slowest {ordered[-1] * 1000:.0f} ms"
        )


class Attack:
    """One kind of slow client at a time against one instance."""

    def __init__(self, gate: Foregate, connections: int) -> None:
        self._gate = gate
        self._connections = connections
        self.http = gate.address("http")
        self.https = gate.address("https")
        self.lines: list[str] = []
        self.wrong: list[str] = []

    async def under(self, name: str, attack: Callable[[], Awaitable[str]], per_client: int) -> None:
        """Run an attack beside an honest client, and judge both."""
        (pid,) = await asyncio.to_thread(self._gate.worker_pids)
        before = most = resident(pid)
        honest = Honest(self.http[1])
        asking = asyncio.create_task(honest.run())
        attacking = asyncio.ensure_future(attack())
        while not attacking.done():
            await asyncio.wait([attacking], timeout=0.5)
            most = max(most, resident(pid))
        honest.finished = True
        await asking
        growth = most - before
        self.lines.append(
            f"{name}: {attacking.result()}; {honest}; worker at most {growth / 2**20:.1f} MB more"
        )
        if (
            honest.failures
            or max(honest.seconds) > SLOWEST
            or growth > per_client * self._connections + 8 * 2**20
        ):
            self.wrong.append(f"{name}: {honest}, {growth} octets, {honest.failures[:3]}")
        left = await asyncio.to_thread(self._gate.worker_pids)
        if left != [pid]:
            self.wrong.append(f"{name}: the worker has ended")

    async def slowhttptest(self, options: tuple[str, ...]) -> str:
        """Run one mode of slowhttptest; return its own account of it."""
        path = {"-X": "/large", "-B": "/upload"}.get(options[0], "/")
        url = f"http://127.0.0.1:{self.http[1]}{path}"
        count = int(self._connections * (READERS if options[0] == "-X" else 1))
        command = [
            "slowhttptest",
            "-c",
            str(count),
            "-r",
            "400",
            "-u",
            url,
            *options,
            "-p",
            "5",
            "-v",
            "1",
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate()
        text = _COLOURS.sub("", output.decode(errors="replace"))
        words = ("Exit status:", "closed:", "connected:", "error:", "service available:")
        found = [" ".join(line.split()) for line in text.splitlines() if any(word in line for word in words)]
        if not any("YES" in line for line in found[-5:]):
            self.wrong.append(f"{options[0]}: {found[-5:]}")
        return ", ".join(found[-5:])

    async def hold(self, first: bytes, port: int, deadline: float, *, answers: int = 0) -> str:
        """Open connections, send `first` on each, take so many octets, and wait for their end."""
        opened = [await self._open(first, port) for _ in range(self._connections)]
        for reader, _, _ in opened if answers else ():
            await reader.readexactly(answers)
        ends = await asyncio.gather(*(self._ended(reader, began) for reader, _, began in opened))
        for _, writer, _ in opened:
            writer.close()
        late = [seconds for seconds in ends if seconds > deadline + 4]
        if late or min(ends) < deadline - 1:
            self.wrong.append(f"{len(late)} ended late, the first after {min(ends):.1f} s, due {deadline}")
        return f"{len(ends)} ended after {min(ends):.1f} to {max(ends):.1f} s"

    async def _open(
        self, first: bytes, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(first)
        return reader, writer, time.monotonic()

    async def _ended(self, reader: asyncio.StreamReader, began: float) -> float:
        with suppress(OSError):
            while await reader.read(65536):
                pass
        return time.monotonic() - began

    async def deaf(self) -> str:
        """Ask for much and read nothing, until the deadline resets; the longest that may take is twice the deadline."""
        opened = []
        before = await self._timed_out()
        for _ in range(int(self._connections * READERS / 2)):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.http[1], limit=1024)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
            writer.write(b"GET /huge HTTP/1.1\r\nHost: a.test\r\n\r\n")
            opened.append((reader, writer))
        began = time.monotonic()
        ended = 0.0
        for _ in range(130):
            await asyncio.sleep(1)
            if (ended := await self._timed_out() - before) >= len(opened):
                break
        if ended < len(opened):
            self.wrong.append(f"deaf: {ended:.0f} of {len(opened)} ended")
        for _, writer in opened:
            writer.transport.abort()
        return f"{ended:.0f} reset, the last after {time.monotonic() - began:.0f} s"

    async def _timed_out(self) -> float:
        metrics = await asyncio.to_thread(self._gate.metrics)
        name = "foregate_client_timeouts_total"
        return sum(metrics.get((name, (("phase", phase),)), 0.0) for phase in ("send", "min_rate"))

    async def churn(self) -> str:
        """Come and go: without a word, with half a request, over TLS, with a reset."""
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        count = 0
        for number in range(self._connections * 4):
            with suppress(OSError):
                port = self.https[1] if number % 4 == 3 else self.http[1]
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(
                    (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", openssl_hello())[number % 4]
                )
                writer.transport.abort() if number % 3 else writer.close()
                count += 1
        return f"{count} connections"


async def campaign(connections: int, folder: Path, port: int) -> Attack:
    """Run everything against one instance in front of an app on this port."""
    url = f"http://127.0.0.1:{port}"
    text = configuration(url, workers=1, server="redirect_https = false", tables=_TABLES)
    text = text.replace("https = []", 'https = ["127.0.0.1:0"]').replace(
        'mode = "off"', 'mode = "self-signed"'
    )
    text = text.replace('level = "debug"', 'level = "info"\naccess = "off"')
    gate = await asyncio.to_thread(Foregate, folder, text)
    try:
        await asyncio.to_thread(gate.wait_serving, 1)
        attack = Attack(gate, connections)
        for name, options in MODES.items():
            cost = OCTETS_PER_READER if name == "slow reading" else OCTETS_PER_CLIENT
            await attack.under(name, lambda options=options: attack.slowhttptest(options), cost)  # type: ignore[misc]  # its default is its type
        http, https = attack.http[1], attack.https[1]
        page = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
        await attack.under("silent", lambda: attack.hold(b"", http, 10.0), OCTETS_PER_CLIENT)
        await attack.under("half a head", lambda: attack.hold(page[:20], http, 10.0), OCTETS_PER_CLIENT)
        await attack.under(
            "half a hello", lambda: attack.hold(openssl_hello()[:60], https, 10.0), OCTETS_PER_CLIENT
        )
        await attack.under("idle", lambda: attack.hold(page, http, IDLE, answers=100), OCTETS_PER_CLIENT)
        await attack.under("deaf", attack.deaf, OCTETS_PER_READER)
        await attack.under("churn", attack.churn, OCTETS_PER_CLIENT)
        await asyncio.to_thread(gate.wait_metric, 0.0, "foregate_connections_active", scheme="http")
        faults = await asyncio.to_thread(gate.metric, "foregate_internal_errors_total")
        if faults:
            attack.wrong.append(f"{faults} internal errors")
    finally:
        await asyncio.to_thread(gate.close)
    return attack


def main(connections: int = 1000) -> int:
    """Run it and say what came of it."""
    if shutil.which("slowhttptest") is None:
        print("slowhttptest is missing: apt-get install slowhttptest")
        return 2
    files = {"large": LARGE, "huge": HUGE}
    with tempfile.TemporaryDirectory() as folder, running_nginx(_LOCATIONS, files) as port:
        attack = asyncio.run(campaign(connections, Path(folder), port))
    print(*attack.lines, sep="\n")
    print(f"{len(attack.wrong)} wrong")
    print(*attack.wrong, sep="\n")
    return bool(attack.wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
