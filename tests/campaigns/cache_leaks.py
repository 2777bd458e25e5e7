"""Many users at once, each checking that no answer is another's and none is older than its own last write.

    python -m tests.campaigns.cache_leaks [REQUESTS] [SEED]

A real `foregate run` with two workers stands in front of an app whose every answer names its user and the
version of that user's data. Users prove who they are by a cookie, by Authorization or by X-Api-Key, read
pages that all users share the targets of, write, log out and in again under another token, over several
connections (and so through both workers). The app mixes in everything that makes caches err: Set-Cookie,
private, Vary, errors, chunks, redirects, slow answers.
"""

import asyncio
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.foregate import Foregate, configuration

USERS = 16
PAGES = 14
CONNECTIONS = 3
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


class App:
    """The app: knows its users by their tokens; every answer tells user, version and path."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.users: dict[str, str] = {}
        self.versions: Counter[str] = Counter()
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *lines = head.decode("latin-1").split("\r\n")
                fields = {n.lower(): v.strip() for n, _, v in (text.partition(":") for text in lines if text)}
                if "content-length" in fields:
                    await reader.readexactly(int(fields["content-length"]))
                self.requests += 1
                if self.random.random() < 0.02:
                    await asyncio.sleep(self.random.random() / 20)
                method, path, _ = line.split(" ")
                writer.write(self.answer(method, path, fields))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, method: str, path: str, fields: dict[str, str]) -> bytes:
        """Make one answer."""
        token = self._token(fields)
        user = self.users.get(token, "nobody")
        if method == "POST":
            if path == "/logout":
                self.users.pop(token, None)
            else:
                self.versions[user] += 1
        text = f"{user} {self.versions[user]} {path}"
        status = "200 OK"
        draw = self.random.random()
        if method == "GET" and draw < 0.03:
            status = self.random.choice(["500 Error", "404 Not Found", "302 Found\r\nLocation: /page/0"])
        page = int(path.rpartition("/")[2]) if path.startswith("/page/") else 0
        kind = _FIELDS[page] if draw < 0.98 else self.random.choice(_FIELDS)
        extra = kind.format(token=token, user=user, version=self.versions[user])
        head = f"HTTP/1.1 {status}\r\n{extra}"
        if self.random.random() > 0.8:
            return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(text):x}\r\n{text}\r\n0\r\n\r\n".encode()
        return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()

    def _token(self, fields: dict[str, str]) -> str:
        for part in fields.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == "session":
                return value
        return fields.get("authorization", "").removeprefix("Bearer ") or fields.get("x-api-key", "")


@dataclass(slots=True)
class Findings:
    """What the users saw."""

    requests: int = 0
    crossed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


class User:
    """One user, who does one thing at a time, over any of several connections."""

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
        self.connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._log_in()

    def _log_in(self) -> None:
        self.logins += 1
        self.token = f"{self.name}.{self.logins}"
        self.app.users[self.token] = self.name

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
            self.connections.append(await asyncio.open_connection(*self.address))
        try:
            while budget.take():
                draw = self.random.random()
                if draw < 0.03:
                    await self._write()
                elif draw < 0.033:
                    await self._ask("POST", "/logout")
                    self._log_in()
                else:
                    await self._read()
        finally:
            for _, writer in self.connections:
                writer.close()

    async def _write(self) -> None:
        text = await self._ask("POST", f"/page/{self.random.randrange(PAGES)}")
        self.known = max(self.known, int(text.split(" ")[1]))

    async def _read(self) -> None:
        path = f"/page/{self.random.randrange(PAGES)}"
        text = await self._ask("GET", path)
        user, version, seen_path = text.split(" ")
        if user != self.name or seen_path != path:
            self.findings.crossed.append(f"{self.name} asked for {path} and got {text!r}")
        elif int(version) < self.known:
            self.findings.stale.append(f"{self.name} wrote version {self.known} and got {text!r}")

    async def _ask(self, method: str, path: str) -> str:
        number = self.random.randrange(CONNECTIONS)
        reader, writer = self.connections[number]
        language = self.random.choice(["de", "de", "de", "en"])
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: a.example\r\n{self._credentials()}"
        writer.write(f"{head}Accept-Language: {language}\r\n{length}\r\n".encode())
        text = await self._response(reader)
        self.findings.requests += 1
        return text

    async def _response(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = {n.lower(): v.strip() for n, _, v in (x.partition(":") for x in head.split("\r\n")[1:] if x)}
        self.findings.outcomes[fields.get("x-cache-status", "-")] += 1
        if "content-length" in fields:
            return (await reader.readexactly(int(fields["content-length"]))).decode()
        content = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            content += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return content.decode()


class Budget:
    """How many requests are left."""

    def __init__(self, requests: int) -> None:
        self.left = requests

    def take(self) -> bool:
        """Use one up."""
        self.left -= 1
        return self.left >= 0


async def campaign(requests: int, seed: int, folder: Path) -> tuple[Findings, int]:
    """Run users against a new instance; return what they saw and how many requests reached the app."""
    app = App(seed)
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0)
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
    with tempfile.TemporaryDirectory() as folder:
        findings, reached = asyncio.run(campaign(requests, seed, Path(folder)))
    print(f"{findings.requests} requests of {USERS} users, {reached} reached the app")
    print("answers:", ", ".join(f"{name} {number}" for name, number in findings.outcomes.most_common()))
    print(f"{len(findings.crossed)} crossed, {len(findings.stale)} older than an own write")
    for line in (findings.crossed + findings.stale)[:10]:
        print("  ", line)
    sys.exit(1 if findings.crossed or findings.stale else 0)


if __name__ == "__main__":
    main()
