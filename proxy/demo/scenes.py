"""What the demo shows: each scene sends real requests, says what came back, and fails when that is not the promise."""

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.demo.errors import DemoError
from proxy.demo.visitor import NAME, Answer, Visitor

_BURST: Final = 150
_PER_SECOND: Final = 2.5  # 150 a minute
_KEPT_SECONDS: Final = 3.0
_TRIES: Final = 10
_SAID: Final = ("X-Cache-Status", "Cache-Status", "Age")
_COUNTED: Final = "foregate_requests_total"
_COUNTED_WITHIN: Final = 60.0  # seconds
_LOOK: Final = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Stage:
    """Where Foregate listens, whose certificates are to be believed, and the app if it is the user's own."""

    http: int
    https: int
    metrics: int
    context: ssl.SSLContext
    issuer: str
    own_app: str = ""


Say = Callable[[str], None]


def show(stage: Stage, say: Say) -> None:
    """Show everything. Raises DemoError at the first promise that is not kept."""
    scenes = (
        ("https, with a certificate that came by itself", _show_https),
        ("the cache: the same request within 3 seconds", _show_cache),
        ("the limiter: 150 requests a minute for each client", _show_limiter),
        ("metrics, for Prometheus", _show_metrics),
    )
    for number, (title, scene) in enumerate(scenes, 1):
        say(f"\n{number}. {title}\n")
        scene(stage, say)


def latest_first_refusal(seconds: float) -> int:
    """Return which request in a row at the latest is refused, when they took so long."""
    return _BURST + 1 + int(_PER_SECOND * seconds)


def _show_https(stage: Stage, say: Say) -> None:
    path = "/" if stage.own_app else "/hello"
    with Visitor(stage.http) as visitor:
        redirect = visitor.get(path)
    say(f"GET http://{NAME}:{stage.http}{path}")
    say(f"  {redirect.status}, Location: {redirect.fields.get('Location')}")
    _expect(redirect.status in (307, 308), f"a redirect to https, got {redirect.status}")
    with Visitor(stage.https, stage.context) as visitor:
        answer = visitor.get(path)
    say(f"GET https://{NAME}:{stage.https}{path}, its certificate verified, issued by {stage.issuer}")
    if stage.own_app:
        of_app = f"{answer.fields.get('Content-Type')}, {len(answer.content)} octets"
        say(f"  {answer.status}, {of_app}, from {stage.own_app}")
        _expect(answer.status < 500, f"an answer of {stage.own_app}, got {answer.status}; does it run?")
        return
    say(f"  {answer.status}; the app was told:")
    for line in answer.content.decode(errors="replace").splitlines():
        say(f"    {line}")
    _expect(answer.status == 200, f"200, got {answer.status}")
    _expect(_fields_of(answer).get("x-forwarded-proto") == "https", "the app to be told of https")


def _show_cache(stage: Stage, say: Say) -> None:
    path = "/" if stage.own_app else "/cached"
    with Visitor(stage.https, stage.context) as visitor:
        for _ in range(_TRIES):
            began = time.monotonic()
            first, second = visitor.get(path), visitor.get(path)
            if time.monotonic() - began < _KEPT_SECONDS:
                break  # else this machine is so busy that the first answer may have expired meanwhile
    said = ", ".join(f"{name}: {value}" for name in _SAID if (value := second.fields.get(name)))
    say(f"GET {path}, twice")
    if stage.own_app:
        say(f"  the second answer said {said}")
        return
    _expect(first.content == second.content, "the second answer from the cache, but the app was asked again")
    say(f"  one request reached the app; the second answer said {said}")
    _expect(second.fields.get("X-Cache-Status") == "HIT", f"X-Cache-Status: HIT, got {said}")


def _show_limiter(stage: Stage, say: Say) -> None:
    """Come as a client that has not asked anything yet, and ask until it is refused."""
    path = "/" if stage.own_app else "/limited/{}"
    began, number = time.monotonic(), 0
    with Visitor(stage.https, stage.context, "127.0.0.2") as visitor:
        while True:
            number += 1
            answer = visitor.get(path.format(number))
            latest = latest_first_refusal(time.monotonic() - began)
            goes_on = answer.status < 500 and answer.status != 429 if stage.own_app else answer.status == 200
            if not goes_on or number > latest:
                break
    seconds = time.monotonic() - began
    _expect(answer.status == 429, f"429 by request {latest}, got {answer.status} at request {number}")
    say(f"GET {path.format('N')}, as fast as it goes, from a fresh client: {number} in {seconds:.2f} s")
    say(f"  request {number} got {answer.status}, Retry-After: {answer.fields.get('Retry-After')}")
    say(f"  (150 at once, then one each 0.4 s: the first refusal is due from request 151 to {latest})")
    _expect(number > _BURST, f"the first 429 from request {_BURST + 1} on, got it at request {number}")


def _show_metrics(stage: Stage, say: Say) -> None:
    deadline = time.monotonic() + _COUNTED_WITHIN
    lines, counted = _scraped(stage)
    # A request counts a moment after its answer has been sent.
    while not (is_counted := any('code="429"' in line for line in counted)) and time.monotonic() < deadline:
        time.sleep(_LOOK)
        lines, counted = _scraped(stage)
    say(f"GET http://{NAME}:{stage.metrics}/metrics: {lines} lines, among them")
    for line in counted:
        say(f"  {line}")
    _expect(is_counted, "metrics that count the refusal")


def _scraped(stage: Stage) -> tuple[int, list[str]]:
    """Return how many lines the metrics have, and those that count requests."""
    with Visitor(stage.metrics) as visitor:
        answer = visitor.get("/metrics")
    lines = answer.content.decode(errors="replace").splitlines()
    return len(lines), [
        line for line in lines if line.startswith(_COUNTED + "{") and not line.endswith(" 0.0")
    ]


def _fields_of(answer: Answer) -> dict[str, str]:
    try:
        fields = json.loads(answer.content)["fields"]
    except (ValueError, KeyError, TypeError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _expect(is_so: bool, what: str) -> None:
    if not is_so:
        raise DemoError(f"expected {what}")
