"""Clients of a soak: each sends one kind of request again and again, checks every answer, and counts.

What they count is compared with what the gateway counts, so each kind asks for a site of its own (`KINDS`).
"""

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.fakes.soak_app import content_of

PATIENCE: Final = 40.0
_GONE: Final = (OSError, EOFError, TimeoutError, ssl.SSLError)
#: What an honest client may get while the app or a worker has trouble.
TROUBLE: Final = frozenset({502, 503, 504})


@dataclass
class Tally:
    """What clients of one site have counted."""

    answers: Counter[int] = field(default_factory=Counter)
    broken: int = 0  # requests without a whole answer
    trouble: int = 0  # answers of our own while something was broken
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    content: bytes
    closes: bool


class Soak:
    """Where clients connect to, what they count, and whether something is being broken at the moment."""

    def __init__(self, http: tuple[str, int], https: tuple[str, int], seed: int) -> None:
        self._http, self._https = http, https
        self.tallies: dict[str, Tally] = {kind: Tally() for kind in KINDS}
        self.draw = random.Random(seed)
        self.finished = False
        self.trouble_until = 0.0
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def connect(self, site: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, over TLS in two of five cases."""
        if self.draw.random() < 0.4:
            return await asyncio.open_connection(*self._https, ssl=self._tls, server_hostname=f"{site}.test")
        return await asyncio.open_connection(*self._http)

    async def run(self, kind: str) -> None:
        """Be one client until the end."""
        tally = self.tallies[kind]
        while not self.finished:
            try:
                async with asyncio.timeout(PATIENCE):
                    reader, writer = await self.connect(kind)
            except _GONE as error:
                if time.monotonic() > self.trouble_until:
                    tally.wrong.append(f"{kind}: no connection: {error!r}")
                continue
            try:
                await self._connection(kind, reader, writer, tally)
            finally:
                writer.close()

    async def _connection(
        self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
    ) -> None:
        for _ in range(self.draw.choice((1, 1, 3, 20))):
            await asyncio.sleep(self.draw.random() * 0.1)
            try:
                async with asyncio.timeout(PATIENCE):
                    goes_on = await KINDS[kind](self, reader, writer, tally)
            except _GONE as error:
                tally.broken += 1
                if time.monotonic() > self.trouble_until and kind != "faults":
                    tally.wrong.append(f"{kind}: {error!r}")
                return
            if not goes_on or self.finished:
                return

    def check(self, tally: Tally, answer: Answer, target: str, content: bytes) -> None:
        """Count an answer, and note one that is not what was asked for."""
        tally.answers[answer.status] += 1
        if answer.status == 200:
            if answer.content != content:
                tally.wrong.append(f"{target}: {len(answer.content)} octets, due {len(content)}")
        elif answer.status in TROUBLE and time.monotonic() < self.trouble_until:
            tally.trouble += 1
        else:
            tally.wrong.append(f"{target}: {answer.status} {answer.content[:200]!r}")


async def receive(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    """Receive a whole answer; raises EOFError for less."""
    start, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    content = b""
    if method == "HEAD":
        pass
    elif "content-length" in fields:
        content = await reader.readexactly(int(fields["content-length"]))
    elif "transfer-encoding" in fields:
        parts = []
        while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        content = b"".join(parts)
    return Answer(int(start.split(" ")[1]), content, fields.get("connection", "").lower() == "close")


def _head(kind: str, method: str, target: str, *lines: str) -> bytes:
    return "".join(
        f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", f"Host: {kind}.test", *lines, "")
    ).encode()


async def _pages(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Several pages in a row, for one of a few users, cached or not."""
    targets = [
        f"/{soak.draw.choice(('page', 'page', 'fresh'))}/{soak.draw.randrange(300)}"
        for _ in range(soak.draw.choice((1, 1, 1, 4)))
    ]
    cookie = soak.draw.choice(("", "user=1", "user=2", "user=3"))
    lines = (f"Cookie: {cookie}",) if cookie else ()
    writer.write(b"".join(_head("pages", "GET", target, *lines) for target in targets))
    for target in targets:
        answer = await receive(reader)
        soak.check(tally, answer, target, content_of(target, cookie))
        if answer.closes:
            return False
    return True


async def _uploads(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Content out and back again."""
    content = soak.draw.randbytes(soak.draw.choice((0, 10, 3000, 200_000)))
    if soak.draw.random() < 0.5:
        writer.write(_head("uploads", "POST", "/echo/", f"Content-Length: {len(content)}") + content)
    else:
        writer.write(_head("uploads", "POST", "/echo/", "Transfer-Encoding: chunked"))
        for at in range(0, len(content), 7000):
            piece = content[at : at + 7000]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    answer = await receive(reader)
    soak.check(tally, answer, "/echo/", content)
    return not answer.closes


async def _faults(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Whatever an app can do wrong, and what is due then."""
    kind = soak.draw.choice(("cut", "reset", "garbage", "surplus", "surplus", "stall"))
    target = f"/{kind}/{soak.draw.randrange(1000)}"
    writer.write(_head("faults", "GET", target))
    try:
        answer = await receive(reader)
    except _GONE:
        if kind != "cut" and time.monotonic() > soak.trouble_until:
            tally.wrong.append(f"{target}: no answer")
        raise
    due = {"cut": (), "surplus": (200,), "stall": (504,)}.get(kind, (502,))
    tally.answers[answer.status] += 1
    if answer.status not in due and not (answer.status in TROUBLE and time.monotonic() < soak.trouble_until):
        tally.wrong.append(f"{target}: {answer.status}, due {due}")
    elif answer.status == 200 and answer.content != content_of(target, ""):
        tally.wrong.append(f"{target}: content")
    return not answer.closes


async def _malformed(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """What must be refused."""
    bad = soak.draw.choice(
        ("Content-Length: +5", "Transfer-Encoding: gzip", "X : y", "Host: b.test", "Content-Length: 5, 5")
    )
    writer.write(_head("malformed", "POST", "/page/1", bad))
    answer = await receive(reader)
    tally.answers[answer.status] += 1
    if answer.status != 400 or not answer.closes:
        tally.wrong.append(f"{bad}: {answer.status}")
    return False


async def _leavers(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Ask, and leave at some moment."""
    writer.write(_head("leavers", "GET", f"/fresh/{soak.draw.randrange(300)}"))
    if soak.draw.random() < 0.5:
        await reader.read(100)
    else:
        await asyncio.sleep(soak.draw.random() * 0.04)
    tally.broken += 1
    writer.transport.abort()
    return False


async def _limited(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Ask more often than is allowed."""
    writer.write(_head("limited", "GET", "/page/1"))
    answer = await receive(reader)
    if answer.status == 429:
        tally.answers[429] += 1
    else:
        soak.check(tally, answer, "/page/1", content_of("/page/1", ""))
    return not answer.closes


async def _talkers(
    soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Open a tunnel and hear what was said."""
    writer.write(_head("talkers", "GET", "/talk/", "Connection: Upgrade", "Upgrade: websocket"))
    status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
    tally.answers[status] += 1
    if status != 101:
        if time.monotonic() > soak.trouble_until:
            tally.wrong.append(f"tunnel: {status}")
        return False
    for _ in range(10):
        said = soak.draw.randbytes(soak.draw.choice((1, 100, 20_000)))
        writer.write(said)
        if await reader.readexactly(len(said)) != said:
            tally.wrong.append("tunnel: other octets")
        await asyncio.sleep(0.02)
    return False


Kind = Callable[[Soak, asyncio.StreamReader, asyncio.StreamWriter, Tally], Awaitable[bool]]
#: Each asks for a site of its name under .test.
KINDS: Final[dict[str, Kind]] = {
    "pages": _pages,
    "uploads": _uploads,
    "faults": _faults,
    "malformed": _malformed,
    "leavers": _leavers,
    "limited": _limited,
    "talkers": _talkers,
}
