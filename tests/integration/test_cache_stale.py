"""Stale answers over real sockets, two workers: while the app fails, while one is fetched anew, where it is forbidden.

RFC 9111 section 4.2.4, RFC 5861. Answers are fresh for 100 ms here, so that every test sees them become stale soon; it
asks until it does.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin

StartForegate = Callable[..., Foregate]
Answer = tuple[int, bytes, str | None]
SETTINGS = """
[rate_limit]
rate = "off"
[cache]
ttl = "100ms"
grace = "1h"
"""
IMPATIENT = '[timeouts]\nfirst_byte = "500ms"\n'
WITHOUT_GRACE = '[[site.route]]\npath = "/strict"\ncache = { grace = "0s" }\n'
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Page:
    """A page of the app behind an instance; further ones lie below it."""

    front: Foregate
    path: str

    def ask(self, below: str = "", method: str = "GET", **fields: str) -> Answer:
        """Return status code, content and X-Cache-Status."""
        connection = HTTPConnection(*self.front.address("http"), timeout=PATIENCE)
        try:
            connection.request(method, self.path + below, headers={"Host": "a.example", **fields})
            response = connection.getresponse()
            return response.status, response.read(), response.getheader("X-Cache-Status")
        finally:
            connection.close()

    def ask_until(self, wanted: Callable[[Answer], bool], below: str = "") -> list[Answer]:
        """Ask again and again until an answer is as wanted; return all."""
        answers = []
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answers.append(self.ask(below))
            if wanted(answers[-1]):
                return answers
        raise AssertionError(answers[-3:])


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """Return the app, the same for all tests, each of which has pages of its own."""
    with running_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def front(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foregate]:
    text = configuration(origin.url, tables=SETTINGS, site=WITHOUT_GRACE)
    front = Foregate(tmp_path_factory.mktemp("front"), text)
    try:
        front.wait_serving(2)
        yield front
    finally:
        front.close()


@pytest.fixture
def graceful(front: Foregate) -> Page:
    """Return a page that may be served long after its time."""
    return Page(front, f"/page/{next(_NUMBERS)}")


@pytest.fixture
def strict(front: Foregate) -> Page:
    """Return a page that may be served after its time only where the app says so."""
    return Page(front, f"/strict/{next(_NUMBERS)}")


def good(*cache_control: str, content: bytes = b"good") -> Callable[[OriginRequest], OriginResponse]:
    fields = [("Cache-Control", value) for value in cache_control]
    return lambda request: OriginResponse(content=content, fields=fields)


def bad(request: OriginRequest) -> OriginResponse:
    return OriginResponse(status=503, content=b"bad")


def late(request: OriginRequest) -> OriginResponse:
    """Let the gateway lose its patience."""
    return OriginResponse(content=b"late", wait=asyncio.Event())


def see_stale_answers(page: Page, origin: Origin, failure: Callable[[OriginRequest], OriginResponse]) -> None:
    """Let the app fail and come back."""
    origin.answer = failure
    answers = page.ask_until(lambda answer: answer[2] == "STALE")
    assert {answer[:2] for answer in answers} == {(200, b"good")}
    origin.answer = good(content=b"new")
    answers = page.ask_until(lambda answer: answer[1] == b"new")
    assert {answer[0] for answer in answers} == {200}


def test_rfc9111_section_4_2_4_stale_answers_stand_in_until_the_app_is_back(
    graceful: Page, origin: Origin
) -> None:
    origin.answer = good()
    graceful.ask()
    see_stale_answers(graceful, origin, bad)


def test_rfc9111_section_4_2_4_stale_answers_stand_in_for_an_app_that_is_late(
    start_foregate: StartForegate, origin: Origin
) -> None:
    front = start_foregate(configuration(origin.url, tables=SETTINGS + IMPATIENT))
    front.wait_serving(2)
    page = Page(front, "/page")
    origin.answer = good()
    page.ask_until(lambda answer: answer[0] == 200)
    see_stale_answers(page, origin, late)


def test_rfc9111_section_4_2_4_stale_answers_stand_in_while_nothing_listens(
    start_foregate: StartForegate,
) -> None:
    with running_origin(good()) as origin:
        front = start_foregate(configuration(origin.url, tables=SETTINGS))
        front.wait_serving(2)
        page = Page(front, "/page")
        page.ask()
    answers = page.ask_until(lambda answer: answer[2] == "STALE")
    assert {answer[:2] for answer in answers} == {(200, b"good")}
    assert page.ask("/never-seen")[0] == 502


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
def test_rfc9111_section_5_2_2_some_directives_forbid_stale_answers(
    graceful: Page, origin: Origin, directive: str
) -> None:
    origin.answer = good(directive, "max-age=60")
    graceful.ask()
    origin.answer = bad
    answers = graceful.ask_until(lambda answer: answer[0] == 503)
    assert all(answer[2] == "HIT" for answer in answers[:-1])


def test_rfc5861_section_4_stale_if_error_in_place_of_grace(strict: Page, origin: Origin) -> None:
    origin.answer = good("stale-if-error=3600")
    strict.ask()
    origin.answer = good()
    strict.ask("/without")
    origin.answer = bad
    strict.ask_until(lambda answer: answer[2] == "STALE")
    strict.ask_until(lambda answer: answer[0] == 503, "/without")
    assert strict.ask()[:2] == (200, b"good")


def test_rfc5861_section_4_stale_if_error_0_forbids_it(graceful: Page, origin: Origin) -> None:
    origin.answer = good("max-age=60, stale-if-error=0")
    graceful.ask()
    origin.answer = bad
    graceful.ask_until(lambda answer: answer[0] == 503)


def test_rfc5861_section_3_stale_while_one_request_fetches_anew(strict: Page, origin: Origin) -> None:
    asked, release = threading.Event(), threading.Event()
    origin.answer = good("stale-while-revalidate=3600")
    strict.ask()

    def slow(request: OriginRequest) -> OriginResponse:
        asked.set()
        release.wait(PATIENCE)
        return good("stale-while-revalidate=3600", content=b"new")(request)

    origin.answer = slow
    strict.ask_until(lambda answer: answer[2] == "STALE")
    assert asked.wait(PATIENCE)
    before = len(origin.requests)
    answers = [strict.ask() for _ in range(5)]
    assert {answer[0] for answer in answers} == {200}
    assert len(origin.requests) == before
    release.set()
    answers = strict.ask_until(lambda answer: answer[1] == b"new")
    assert {answer[2] for answer in answers} <= {"STALE", "HIT"}


def test_one_request_at_a_time_asks_a_failing_app(graceful: Page, origin: Origin) -> None:
    origin.answer = good()
    graceful.ask()
    origin.answer = bad
    graceful.ask_until(lambda answer: answer[2] == "STALE")
    asked = len(origin.requests)
    began = time.monotonic()
    answers = [graceful.ask() for _ in range(60)]
    assert {answer[:2] for answer in answers} == {(200, b"good")}
    # One probe a second at most, and one that was on its way.
    assert len(origin.requests) - asked <= time.monotonic() - began + 2


def test_no_stale_answer_is_older_than_an_own_write(graceful: Page, origin: Origin) -> None:
    origin.answer = good()
    assert graceful.ask(Cookie="session=a")[1] == b"good"
    origin.answer = bad
    assert graceful.ask("/write", "POST", Cookie="session=a")[0] == 503
    assert graceful.ask(Cookie="session=a")[0] == 503
