"""Stale answers over real sockets, two workers: while the app fails, while one is fetched anew, where it is forbidden.

RFC 9111 section 4.2.4, RFC 5861. Answers are fresh for 100 ms here, so that every test sees them become stale soon; it
asks until it does.
"""

import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection

import pytest

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin

StartForegate = Callable[..., Foregate]
Answer = tuple[int, bytes, str | None]
PATIENCE = 30.0


def ask(front: Foregate, path: str = "/page", method: str = "GET", **fields: str) -> Answer:
    connection = HTTPConnection(*front.address("http"), timeout=PATIENCE)
    try:
        connection.request(method, path, headers={"Host": "a.example", **fields})
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("X-Cache-Status")
    finally:
        connection.close()


def ask_until(front: Foregate, wanted: Callable[[Answer], bool], path: str = "/page") -> list[Answer]:
    """Ask again and again until an answer is as wanted; return all."""
    answers = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answers.append(ask(front, path))
        if wanted(answers[-1]):
            return answers
    raise AssertionError(answers[-3:])


def settings(grace: str) -> str:
    return (
        '[rate_limit]\nrate = "off"\n[timeouts]\nfirst_byte = "500ms"\n'
        f'[cache]\nttl = "100ms"\ngrace = "{grace}"\n'
    )


@pytest.fixture
def graceful(origin: Origin, start_foregate: StartForegate) -> Foregate:
    instance = start_foregate(configuration(origin.url, tables=settings("1h")))
    instance.wait_serving(2)
    return instance


@pytest.fixture
def strict(origin: Origin, start_foregate: StartForegate) -> Foregate:
    instance = start_foregate(configuration(origin.url, tables=settings("0s")))
    instance.wait_serving(2)
    return instance


def good(*cache_control: str, content: bytes = b"good") -> Callable[[OriginRequest], OriginResponse]:
    fields = [("Cache-Control", value) for value in cache_control]
    return lambda request: OriginResponse(content=content, fields=fields)


def bad(request: OriginRequest) -> OriginResponse:
    return OriginResponse(status=503, content=b"bad")


def late(request: OriginRequest) -> OriginResponse:
    """Answer after the gateway's patience."""
    threading.Event().wait(1.0)
    return OriginResponse(content=b"late")


@pytest.mark.parametrize("failure", [bad, late])
def test_rfc9111_section_4_2_4_stale_answers_stand_in_until_the_app_is_back(
    graceful: Foregate, origin: Origin, failure: Callable[[OriginRequest], OriginResponse]
) -> None:
    origin.answer = good()
    ask(graceful)
    origin.answer = failure
    answers = ask_until(graceful, lambda answer: answer[2] == "STALE")
    assert {answer[:2] for answer in answers} == {(200, b"good")}
    origin.answer = good(content=b"new")
    answers = ask_until(graceful, lambda answer: answer[1] == b"new")
    assert {answer[0] for answer in answers} == {200}


def test_rfc9111_section_4_2_4_stale_answers_stand_in_while_nothing_listens(
    start_foregate: StartForegate,
) -> None:
    with running_origin(good()) as origin:
        front = start_foregate(configuration(origin.url, tables=settings("1h")))
        front.wait_serving(2)
        ask(front)
    answers = ask_until(front, lambda answer: answer[2] == "STALE")
    assert {answer[:2] for answer in answers} == {(200, b"good")}
    assert ask(front, "/never-seen")[0] == 502


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
def test_rfc9111_section_5_2_2_some_directives_forbid_stale_answers(
    graceful: Foregate, origin: Origin, directive: str
) -> None:
    origin.answer = good(directive, "max-age=60")
    ask(graceful)
    origin.answer = bad
    answers = ask_until(graceful, lambda answer: answer[0] == 503)
    assert all(answer[2] == "HIT" for answer in answers[:-1])


def test_rfc5861_section_4_stale_if_error_in_place_of_grace(strict: Foregate, origin: Origin) -> None:
    origin.answer = good("stale-if-error=3600")
    ask(strict)
    origin.answer = good()
    ask(strict, "/without")
    origin.answer = bad
    ask_until(strict, lambda answer: answer[2] == "STALE")
    ask_until(strict, lambda answer: answer[0] == 503, "/without")
    assert ask(strict)[:2] == (200, b"good")


def test_rfc5861_section_4_stale_if_error_0_forbids_it(graceful: Foregate, origin: Origin) -> None:
    origin.answer = good("max-age=60, stale-if-error=0")
    ask(graceful)
    origin.answer = bad
    ask_until(graceful, lambda answer: answer[0] == 503)


def test_rfc5861_section_3_stale_while_one_request_fetches_anew(strict: Foregate, origin: Origin) -> None:
    asked, release = threading.Event(), threading.Event()
    origin.answer = good("stale-while-revalidate=3600")
    ask(strict)

    def slow(request: OriginRequest) -> OriginResponse:
        asked.set()
        release.wait(0.4)
        return good("stale-while-revalidate=3600", content=b"new")(request)

    origin.answer = slow
    ask_until(strict, lambda answer: answer[2] == "STALE")
    assert asked.wait(PATIENCE)
    before = len(origin.requests)
    answers = [ask(strict) for _ in range(5)]
    assert {answer[0] for answer in answers} == {200}
    assert len(origin.requests) <= before + 2
    release.set()
    answers = ask_until(strict, lambda answer: answer[1] == b"new")
    assert {answer[2] for answer in answers} <= {"STALE", "HIT"}


def test_one_request_at_a_time_asks_a_failing_app(graceful: Foregate, origin: Origin) -> None:
    origin.answer = good()
    ask(graceful)
    origin.answer = bad
    ask_until(graceful, lambda answer: answer[2] == "STALE")
    asked = len(origin.requests)
    began = time.monotonic()
    answers = [ask(graceful) for _ in range(60)]
    assert {answer[:2] for answer in answers} == {(200, b"good")}
    # One probe a second at most, and one that was on its way.
    assert len(origin.requests) - asked <= time.monotonic() - began + 2


def test_no_stale_answer_is_older_than_an_own_write(graceful: Foregate, origin: Origin) -> None:
    origin.answer = good()
    assert ask(graceful, Cookie="session=a")[1] == b"good"
    origin.answer = bad
    assert ask(graceful, "/write", "POST", Cookie="session=a")[0] == 503
    assert ask(graceful, Cookie="session=a")[0] == 503
