"""Many users at once, each checking that no answer is another's and none is older than its own last write.

    python -m tests.campaigns.cache_leaks [REQUESTS] [SEED]

A real `foregate run` with two workers stands in front of an app whose every answer names its user and the
version of that user's data. Users prove who they are by a cookie, by Authorization or by X-Api-Key, read
pages that all users share the targets of, write, log out and in again under another token, over several
connections at once (and so through both workers), and sometimes leave in the middle of it. The app mixes in
everything that makes caches err: Set-Cookie, private, Vary, errors, chunks, redirects, slow answers.
"""

import asyncio
import random
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.pipelined_client import Answer, PipelinedClient

USERS = 16
PAGES = 14
CONNECTIONS = 3
#: So many reads at most follow each other on a connection without waiting for answers.
AT_ONCE = 16
_FIELDS = (
    "",
    "",
    "",
    "Cache-Control: private\r\n",
    "Cache-Control: max-age=2\r\n",
    "Cache-Control: public, max-age=60\r\n",
    "Cache-Control: no-store\r\n",
    "Cache-Control: private, max-age=1\r\n",
    "Vary: Accept-Language\r\n",
    "Vary: Cookie\r\n",
    "Vary: Accept-Encoding, Accept-Language\r\n",
    "Set-Cookie: trace={token}\r\n",
    'ETag: "{user}-{version}"\r\n',
    "Cache-Control: no-cache\r\n",
)
_HEAD = re.compile(rb"([A-Z]+) ([^ ]+) HTTP/1.1\r\n(.*?\r\n)\r\n", re.DOTALL)
_SESSION = re.compile(rb"\r\ncookie:[^\r]*?\bsession=([^;\r]*)", re.IGNORECASE)
_TOKEN = re.compile(rb"\r\n(?:authorization: bearer|x-api-key:) ([^\r]*)", re.IGNORECASE)


class App:
    """The app: knows its users by their tokens; every answer tells user, version and path."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.users: dict[bytes, str] = {}
        self.versions: Counter[str] = Counter()
        self.requests = 0

    def answer(self, method: str, path: str, section: bytes) -> bytes:
        """Make one answer."""
        self.requests += 1
        found = _SESSION.search(section) or _TOKEN.search(section)
        token = found[1] if found else b""
        user = self.users.get(token, "nobody")
        if method == "POST":
            if path == "/logout":
                self.users.pop(token, None)
            else:
                self.versions[user] += 1
        version = self.versions[user]
        text = f"{user} {version} {path}"
        status = "200 OK"
        draw = self.random.random()
        if method == "GET" and draw < 0.03:
            status = self.random.choice(["500 Error", "404 Not Found", "302 Found\r\nLocation: /page/0"])
        page = int(path.rpartition("/")[2]) if path.startswith("/page/") else 0
        kind = _FIELDS[page] if draw < 0.98 else self.random.choice(_FIELDS)
        extra = kind.format(token=token.decode(), user=user, version=version) if "{" in kind else kind
        head = f"HTTP/1.1 {status}\r\n{extra}"
        if self.random.random() > 0.8:
            return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(text):x}\r\n{text}\r\n0\r\n\r\n".encode()
        return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()


class AppConnection(asyncio.Protocol):
    """One connection to the app; what it is asked has no content."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        match = _HEAD.match(self._received)
        if match is None:
            return
        self._received = self._received[match.end() :]
        answer = self._app.answer(match[1].decode(), match[2].decode(), b"\r\n" + match[3])
        if self._app.random.random() < 0.02:
            slowness = self._app.random.random() / 20
            asyncio.get_running_loop().call_later(slowness, self._transport.write, answer)
        else:
            self._transport.write(answer)


@dataclass(slots=True)
class Findings:
    """What the users saw."""

    requests: int = 0
    crossed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


class User:
    """One user: reads several pages at once, or writes, and reads again when the write is acknowledged."""

    def __init__(
        self, number: int, app: App, address: tuple[str, int], findings: Findings, seed: int
    ) -> None:
        self.random = random.Random(seed * 1000 + number)
        self.name = f"user{number}"
        self.kind = number % 4
        self.app = app
        self.address = address
        self.findings = findings
        self.logins = 0
        self.known = 0
        self.connections: list[PipelinedClient] = []
        self._log_in()

    def _log_in(self) -> None:
        self.logins += 1
        self.token = f"{self.name}.{self.logins}"
        self.app.users[self.token.encode()] = self.name

    def _credentials(self) -> str:
        """Say who asks, always in the same way: that two credentials are one person's nobody but the app can know."""
        match self.kind:
            case 0:
                return f"Authorization: Bearer {self.token}\r\n"
            case 1:
                return f"X-Api-Key: {self.token}\r\n"
            case 2:
                return f"Cookie: session={self.token}\r\n"
            case _:
                return f"Cookie: _ga=GA{self.random.randrange(9)}; session={self.token}\r\n"

    async def run(self, budget: "Budget") -> None:
        """Read, write, log out and in until the budget is used up."""
        for _ in range(CONNECTIONS):
            self.connections.append(await PipelinedClient.connect(self.address))
        try:
            while budget.left:
                draw = self.random.random()
                if draw < 0.2:
                    await self._write(budget)
                elif draw < 0.21 and budget.left >= 2:
                    budget.take(2)
                    await self._log_out()
                elif draw < 0.22:
                    await self._leave()
                else:
                    numbers = range(CONNECTIONS if draw < 0.6 else 1)
                    await asyncio.gather(*[self._read(number, budget) for number in numbers])
        finally:
            for connection in self.connections:
                connection.close()

    async def _write(self, budget: "Budget") -> None:
        if budget.take(1):
            request = self._request("POST", f"/page/{self.random.randrange(PAGES)}")
            answer = (await self._ask(self.random.randrange(CONNECTIONS), [request]))[0]
            self.known = max(self.known, int(answer.content.split(b" ")[1]))

    async def _log_out(self) -> None:
        """Log out, see that the token opens nothing any more, and log in again."""
        path = f"/page/{self.random.randrange(PAGES)}"
        await self._ask(0, [self._request("POST", "/logout")])
        answer = (await self._ask(1, [self._request("GET", path)]))[0]
        if answer.content.split(b" ")[0] != b"nobody":
            self.findings.stale.append(f"{self.name} was logged out and got {answer.content!r}")
        self._log_in()

    async def _leave(self) -> None:
        """Ask, and be gone before the answer comes: whoever waits for it, too, must not notice."""
        client = await PipelinedClient.connect(self.address)
        asking = asyncio.ensure_future(
            client.ask([self._request("GET", f"/page/{self.random.randrange(PAGES)}")])
        )
        await asyncio.sleep(0)
        client.close()
        await asyncio.wait([asking])
        asking.exception()

    async def _read(self, number: int, budget: "Budget") -> None:
        count = budget.take(self.random.randrange(1, AT_ONCE))
        paths = [f"/page/{self.random.randrange(PAGES)}" for _ in range(count)]
        known = self.known
        answers = await self._ask(number, [self._request("GET", path) for path in paths])
        for path, answer in zip(paths, answers, strict=True):
            text = answer.content.decode()
            user, version, seen_path = text.split(" ")
            if user != self.name or seen_path != path:
                self.findings.crossed.append(f"{self.name} asked for {path} and got {text!r}")
            elif int(version) < known:
                self.findings.stale.append(f"{self.name} wrote version {known} and got {text!r}")

    def _request(self, method: str, path: str) -> bytes:
        language = self.random.choice(("de", "de", "de", "en"))
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: a.example\r\n{self._credentials()}"
        return f"{head}Accept-Language: {language}\r\n{length}\r\n".encode()

    async def _ask(self, number: int, requests: list[bytes]) -> list[Answer]:
        answers = await self.connections[number].ask(requests) if requests else []
        self.findings.requests += len(answers)
        self.findings.outcomes.update(answer.outcome for answer in answers)
        return answers


class Budget:
    """How many requests are left."""

    def __init__(self, requests: int) -> None:
        self.left = requests

    def take(self, wanted: int) -> int:
        """Use some up; return how many of them."""
        taken = min(wanted, self.left)
        self.left -= taken
        return taken


async def campaign(requests: int, seed: int, folder: Path) -> tuple[Findings, int]:
    """Run users against a new instance; return what they saw and how many requests reached the app."""
    app = App(seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: AppConnection(app), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tables = '[rate_limit]\nrate = "off"\n'
    front = await asyncio.to_thread(
        Foregate, folder, configuration(f"http://127.0.0.1:{port}", tables=tables)
    )
    try:
        await asyncio.to_thread(front.wait_serving, 2)
        findings = Findings()
        budget = Budget(requests)
        users = [User(number, app, front.address("http"), findings, seed) for number in range(USERS)]
        await asyncio.gather(*[user.run(budget) for user in users])
        return findings, app.requests
    finally:
        await asyncio.to_thread(front.close)
        server.close()


def main() -> None:
    """Run the campaign and print what it found."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        findings, reached = uvloop.run(campaign(requests, seed, Path(folder)))
    seconds = time.monotonic() - began
    print(f"{findings.requests} requests of {USERS} users in {seconds:.0f} s, {reached} reached the app")
    print("answers:", ", ".join(f"{name} {number}" for name, number in findings.outcomes.most_common()))
    print(f"{len(findings.crossed)} crossed, {len(findings.stale)} older than an own write")
    for line in (findings.crossed + findings.stale)[:10]:
        print("  ", line)
    sys.exit(1 if findings.crossed or findings.stale else 0)


if __name__ == "__main__":
    main()
