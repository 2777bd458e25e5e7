"""An ACME CA for what Pebble cannot do: refusals by script, renewal windows, successors, profiles, slow answers.

It checks nonces and remembers every request; it validates nothing unless `challenge_port` is set.
"""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from cryptography import x509

from autocert import keys
from autocert.certificate import subject_names
from tests.fakes.root_ca import TestCa

ERROR = "urn:ietf:params:acme:error:"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `hang` never begins it, `drip` sends an octet each so many seconds, `cut` closes after it."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drip: float = 0.0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its kind (`newOrder`, `order`, ...), its payload, and the account's URL, "" without one."""

    kind: str
    payload: Any
    account: str


@dataclass(slots=True)
class FakeOrder:
    """An order; `polls` is how often it still answers `processing`."""

    names: list[str]
    status: str = "pending"
    polls: int = 0
    chain: bytes = b""
    answered: set[str] = field(default_factory=set)


def refusal(code: str, detail: str = "", status: int = 400, **headers: str) -> Reply:
    """Return a reply with a problem document; underscores in header names become hyphens."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    content = {"type": ERROR + code, "detail": detail, "status": status}
    return Reply(status, content, {"Content-Type": "application/problem+json", **named})


class FakeCa:
    """A CA on http at loopback, port 0, on the test's event loop.

    `script[kind]` holds replies that the next requests of a kind get instead of the right one.
    """

    def __init__(self, *, renewal_information: bool = False, lifetime: float = 90 * 86400.0) -> None:
        self.script: dict[str, list[Reply]] = defaultdict(list)
        self.requests: list[Request] = []
        self.orders: dict[str, FakeOrder] = {}
        self.window: Callable[[str], tuple[str, str]] | None = None
        self.window_headers: dict[str, str] = {}
        self.rejected_nonces = 0
        self.processing_polls = 0
        self.processing_headers: dict[str, str] = {}
        self.failing: dict[str, dict[str, str]] = {}
        self.accounts: set[str] = set()
        self.meta: dict[str, Any] = {}
        self.lifetime = lifetime
        self.directory = ""
        self._offers_ari = renewal_information
        self._ca = TestCa("fake ACME CA")
        self._nonces: set[str] = set()
        self._count = 0
        self._server: asyncio.Server | None = None
        self._base = ""
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.directory = f"{self._base}/directory"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def count(self, kind: str) -> int:
        """Return how many requests of a kind there were."""
        return sum(request.kind == kind for request in self.requests)

    def last(self, kind: str) -> Any:
        """Return the payload of the last request of a kind."""
        return [request.payload for request in self.requests if request.kind == kind][-1]

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *fields = head.decode("latin-1").split("\r\n")
                lengths = [int(f.split(":")[1]) for f in fields if f.lower().startswith("content-length")]
                body = await reader.readexactly(lengths[0]) if lengths else b""
                method, path, _ = line.split(" ")
                await self._send(writer, method, self._answer(method, path.strip("/"), body))
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, method: str, reply: Reply) -> None:
        if reply.hang:
            await asyncio.Event().wait()
        content = reply.content
        body = content if isinstance(content, bytes) else json.dumps(content).encode() if content else b""
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
        if "Replay-Nonce" not in headers:
            headers["Replay-Nonce"] = self._new_nonce()
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        octets = f"HTTP/1.1 {reply.status} Word\r\n{lines}\r\n".encode() + (b"" if method == "HEAD" else body)
        if reply.drip:
            for octet in octets:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(reply.drip)
            return
        writer.write(octets)
        await writer.drain()
        if reply.cut:
            raise ConnectionAbortedError

    def _new_nonce(self) -> str:
        self._count += 1
        nonce = base64.urlsafe_b64encode(f"nonce-{self._count:08}".encode()).decode().rstrip("=")
        self._nonces.add(nonce)
        return nonce

    # ACME

    def _answer(self, method: str, path: str, body: bytes) -> Reply:
        kind, _, ident = path.partition("/")
        payload, account = None, ""
        if method == "POST":
            jws = json.loads(body)
            protected = json.loads(_decoded(jws["protected"]))
            payload = json.loads(_decoded(jws["payload"]) or b"null")
            account = protected.get("kid", "")
            nonce = protected["nonce"]
            if nonce not in self._nonces or self.rejected_nonces:
                self.rejected_nonces = max(self.rejected_nonces - 1, 0)
                return refusal("badNonce")
            self._nonces.discard(nonce)
        self.requests.append(Request(kind, payload, account))
        if self.script[kind]:
            return self.script[kind].pop(0)
        if method == "POST" and kind != "newAccount" and account not in self.accounts:
            return refusal("accountDoesNotExist", "who are you?")
        answers: dict[str, Callable[[str, Any], Reply]] = {
            "directory": self._directory,
            "newNonce": lambda _ident, _payload: Reply(),
            "newAccount": self._new_account,
            "account": lambda _ident, _payload: Reply(content={"status": "valid"}),
            "newOrder": self._new_order,
            "order": lambda ident, _payload: self._order(ident),
            "authorization": self._authorization,
            "challenge": self._challenge,
            "finalize": self._finalize,
            "certificate": lambda ident, _payload: Reply(content=self.orders[ident].chain),
            "renewalInfo": self._renewal_information,
        }
        return answers[kind](ident, payload)

    def _directory(self, _ident: str, _payload: Any) -> Reply:
        kinds = ["newNonce", "newAccount", "newOrder", *(["renewalInfo"] if self._offers_ari else [])]
        return Reply(content={**{kind: f"{self._base}/{kind}" for kind in kinds}, "meta": self.meta})

    def _new_account(self, _ident: str, _payload: Any) -> Reply:
        url = f"{self._base}/account/1"
        status = 200 if url in self.accounts else 201
        self.accounts.add(url)
        return Reply(status, {"status": "valid"}, {"Location": url})

    def _new_order(self, _ident: str, payload: Any) -> Reply:
        ident = str(len(self.orders) + 1)
        names = [entry["value"] for entry in payload["identifiers"]]
        self.orders[ident] = FakeOrder(names, polls=self.processing_polls)
        reply = self._order(ident)
        return Reply(201, reply.content, {"Location": f"{self._base}/order/{ident}"})

    def _order(self, ident: str) -> Reply:
        order = self.orders[ident]
        headers: dict[str, str] = {}
        if order.status == "processing":
            if order.polls:
                order.polls -= 1
                headers = self.processing_headers
            else:
                order.status = "valid"
        kind = "dns"
        content = {
            "status": order.status,
            "identifiers": [{"type": kind, "value": name} for name in order.names],
            "authorizations": [f"{self._base}/authorization/{ident}/{name}" for name in order.names],
            "finalize": f"{self._base}/finalize/{ident}",
        }
        if order.status == "valid":
            content["certificate"] = f"{self._base}/certificate/{ident}"
        return Reply(200, content, headers)

    def _authorization(self, path: str, _payload: Any) -> Reply:
        ident, _, name = path.partition("/")
        order = self.orders[ident]
        status = "pending"
        if name in order.answered or order.status not in {"pending", "invalid"}:
            status = "invalid" if name in self.failing else "valid"
        challenge: dict[str, Any] = {
            "type": "http-01",
            "url": f"{self._base}/challenge/{path}",
            "token": "t" * 43,
            "status": status,
        }
        if status == "invalid":
            challenge["error"] = self.failing[name]
        return Reply(
            content={
                "identifier": {"type": "dns", "value": name},
                "status": status,
                "challenges": [challenge, {"type": "strange-99", "url": f"{self._base}/x", "status": status}],
            }
        )

    def _challenge(self, path: str, _payload: Any) -> Reply:
        ident, _, name = path.partition("/")
        order = self.orders[ident]
        order.answered.add(name)
        if name in self.failing:
            order.status = "invalid"
        elif order.status == "pending" and set(order.names) <= order.answered:
            order.status = "ready"
        content = {"type": "http-01", "url": f"{self._base}/challenge/{path}", "status": "processing"}
        return Reply(content={**content, "token": "t" * 43})

    def _finalize(self, ident: str, payload: Any) -> Reply:
        order = self.orders[ident]
        request = x509.load_der_x509_csr(_decoded(payload["csr"]))
        names = list(subject_names(request))
        public_key = request.public_key()
        assert isinstance(public_key, keys.PublicKey)
        order.chain = self._ca.sign(public_key, names, lasts=self.lifetime)
        order.status = "processing"
        return self._order(ident)

    def _renewal_information(self, ident: str, _payload: Any) -> Reply:
        assert self.window is not None
        start, end = self.window(ident)
        return Reply(200, {"suggestedWindow": {"start": start, "end": end}}, self.window_headers)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
