"""What the demo promises: kept by one gate, and broken in every way by others."""

import json
import ssl
from dataclasses import replace
from http.client import HTTPMessage
from types import TracebackType
from typing import Self

import pytest

from proxy.demo import scenes
from proxy.demo.errors import DemoError
from proxy.demo.scenes import Stage, latest_first_refusal, show
from proxy.demo.visitor import Answer

HTTP, HTTPS, METRICS = 1, 2, 3
STAGE = Stage(HTTP, HTTPS, METRICS, ssl.create_default_context(), "a test")
OWN = replace(STAGE, own_app="http://app")


class Gate:
    """Answers as Foregate would, unless a test says otherwise."""

    def __init__(
        self,
        *,
        redirect: int = 308,
        scheme: str = "https",
        asks_again: bool = False,
        said: str = "HIT",
        first_refusal: int = 151,
        refusal: int = 429,
        counted: str = 'foregate_requests_total{code="429"} 1.0',
    ) -> None:
        self.redirect, self.scheme, self.asks_again, self.said = redirect, scheme, asks_again, said
        self.first_refusal, self.refusal, self.counted = first_refusal, refusal, counted
        self.asked = 0
        self.scrapes = self.late = 0

    def answer(self, port: int, path: str) -> tuple[int, dict[str, str], str]:
        """Answer one GET."""
        if port == METRICS:
            self.scrapes += 1
            if self.scrapes <= self.late:
                return 200, {}, ""
            return 200, {}, f'{self.counted}\nforegate_requests_total{{code="500"}} 0.0\n'
        if port == HTTP:
            return self.redirect, {"Location": "https://localhost/"}, ""
        if path.startswith("/limited/") and int(path.rpartition("/")[2]) >= self.first_refusal:
            return self.refusal, {"Retry-After": "1"}, ""
        self.asked += path != "/cached" or self.asks_again
        told = {"request": self.asked, "fields": {"x-forwarded-proto": self.scheme}}
        return 200, {"X-Cache-Status": self.said}, json.dumps(told)


def visiting(gate: Gate) -> type:
    """Return a visitor that finds this gate behind every port."""

    class Visitor:
        def __init__(self, port: int, _context: ssl.SSLContext | None = None, _address: str = "") -> None:
            self._port = port

        def get(self, path: str) -> Answer:
            status, named, content = gate.answer(self._port, path)
            fields = HTTPMessage()
            for name, value in named.items():
                fields[name] = value
            return Answer(status, fields, content.encode())

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            pass

    return Visitor


def perform(gate: Gate, monkeypatch: pytest.MonkeyPatch, stage: Stage = STAGE) -> str:
    """Show everything; return what was said."""
    said: list[str] = []
    monkeypatch.setattr(scenes, "Visitor", visiting(gate))
    show(stage, said.append)
    return "\n".join(said)


def test_what_is_said_is_what_came_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said = perform(Gate(), monkeypatch)
    assert "308, Location: https://localhost/" in said
    assert "X-Cache-Status: HIT" in said
    assert "request 151 got 429, Retry-After: 1" in said
    assert '{code="429"} 1.0' in said
    assert '{code="500"}' not in said


def test_requests_may_count_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    gate.late = 2
    assert '{code="429"} 1.0' in perform(gate, monkeypatch)
    assert gate.scrapes == 3


@pytest.mark.parametrize(
    ("gate", "complaint"),
    [
        (Gate(redirect=200), "a redirect to https, got 200"),
        (Gate(scheme="http"), "the app to be told of https"),
        (Gate(asks_again=True), "the app was asked again"),
        (Gate(said="MISS"), "X-Cache-Status: HIT"),
        (Gate(first_refusal=150), "from request 151 on, got it at request 150"),
        (Gate(first_refusal=100_000), "got 200 at request"),
        (Gate(refusal=503), "got 503 at request 151"),
        (Gate(counted=""), "metrics that count the refusal"),
    ],
)
def test_a_broken_promise_is_an_error(gate: Gate, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_COUNTED_WITHIN", 0.0)
    with pytest.raises(DemoError, match=complaint):
        perform(gate, monkeypatch)


class OwnApp(Gate):
    """An app that knows nothing of the demo: it answers everything with one status, and wants no cache."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status

    def answer(self, port: int, path: str) -> tuple[int, dict[str, str], str]:
        if port != HTTPS:
            return super().answer(port, path)
        assert path == "/"
        self.asked += 1
        status = 429 if self.asked > 153 else self.status
        return status, {"Content-Type": "text/html", "X-Cache-Status": "BYPASS"}, "<p>"


def test_an_app_of_the_users_own_may_answer_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    said = perform(OwnApp(404), monkeypatch, OWN)
    assert "404, text/html, 3 octets, from http://app" in said
    assert "the second answer said X-Cache-Status: BYPASS" in said
    assert "request 151 got 429" in said


def test_an_app_of_the_users_own_has_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DemoError, match="got 502; does it run"):
        perform(OwnApp(502), monkeypatch, OWN)


def test_the_first_refusal_may_come_later_when_the_requests_take_their_time() -> None:
    assert [latest_first_refusal(seconds) for seconds in (0.0, 0.39, 0.4, 10.0)] == [151, 151, 152, 176]
