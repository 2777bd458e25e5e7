"""A fetch that many wait for, in both workers, while its leader's worker dies or its leader's client leaves."""

import asyncio
import os
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count

import pytest

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin
from tests.fakes.two_workers import TwoWorkers

WAITERS = 8
_numbers = count()


class Page:
    """A page of the app that comes when it is let; it is kept unless there are `fields` against it."""

    def __init__(self, origin: Origin) -> None:
        self.path = f"/{next(_numbers)}"
        self.fields: list[tuple[str, str]] = []
        self._origin = origin
        self._event = asyncio.Event()
        origin.answer = self._answer
        origin.requests.clear()

    def _answer(self, request: OriginRequest) -> OriginResponse:
        return OriginResponse(content=b"page", fields=self.fields, wait=self._event)

    @property
    def asked(self) -> int:
        """Count the app's requests for it."""
        return len(self._origin.requests)

    def wait_asked(self, number: int) -> None:
        """Wait until the app has been asked for it so often."""
        self._origin.wait_for_requests(number)

    def release(self) -> None:
        """Answer all requests, and later ones at once."""
        self._origin.release(self._event)

    def hold(self) -> None:
        """Hold back from now on what comes from now on."""
        self._event = asyncio.Event()


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with running_origin() as origin:
        yield origin


@pytest.fixture
def page(origin: Origin) -> Iterator[Page]:
    page = Page(origin)
    yield page
    page.release()


@pytest.fixture(scope="module")
def workers(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoWorkers]:
    tables = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\nwait = "1h"\n'
    front = Foregate(tmp_path_factory.mktemp("leaders"), configuration(origin.url, tables=tables))
    yield TwoWorkers(front)
    front.close()


def answers(connections: list[HTTPConnection]) -> list[tuple[int, bytes, str | None]]:
    """Read everybody's answer."""
    found = []
    for connection in connections:
        response = connection.getresponse()
        found.append((response.status, response.read(), response.getheader("X-Cache-Status")))
        connection.close()
    return found


def test_a_leader_whose_client_leaves_goes_on_for_those_who_wait_beside_it(
    workers: TwoWorkers, page: Page
) -> None:
    with workers.only(0):
        leader = workers.ask(page.path)
        page.wait_asked(1)
        waiting = [workers.ask(page.path) for _ in range(WAITERS)]
        workers.wait_for_connections(WAITERS + 1)
        workers.leave(leader)
        workers.wait_for_connections(WAITERS)
        page.release()
        assert answers(waiting) == [(200, b"page", "COLLAPSED")] * WAITERS
    assert page.asked == 1


def test_a_leader_whose_client_leaves_is_replaced_by_one_who_waits_in_another_worker(
    workers: TwoWorkers, page: Page
) -> None:
    with workers.only(0):
        leader = workers.ask(page.path)
        page.wait_asked(1)
    with workers.only(1):
        waiting = [workers.ask(page.path) for _ in range(WAITERS)]
        workers.wait_for_connections(WAITERS + 1)
        workers.leave(leader)
        assert page.asked == 1
    page.wait_asked(2)
    page.release()
    assert [answer[:2] for answer in answers(waiting)] == [(200, b"page")] * WAITERS
    assert page.asked == 2


def test_waiters_in_both_workers_go_on_at_once_when_the_answer_cannot_be_kept(
    workers: TwoWorkers, page: Page
) -> None:
    page.fields = [("Set-Cookie", "a=b")]
    with workers.only(0):
        waiting = [workers.ask(page.path) for _ in range(WAITERS)]
        workers.wait_for_connections(WAITERS)
    with workers.only(1):
        waiting += [workers.ask(page.path) for _ in range(WAITERS)]
        workers.wait_for_connections(2 * WAITERS)
        assert page.asked == 1
    page.release()
    assert [answer[:2] for answer in answers(waiting)] == [(200, b"page")] * 2 * WAITERS
    assert page.asked == 2 * WAITERS
    late = answers([workers.ask(page.path) for _ in range(4)])  # remembered: nobody waits for anybody
    assert [answer[2] for answer in late] == ["MISS"] * 4


def test_a_leader_that_dies_with_its_worker_is_replaced_by_one_who_waited(
    workers: TwoWorkers, page: Page
) -> None:
    with workers.only(0) as pid:
        lost = workers.ask(page.path)
        page.wait_asked(1)
    with workers.only(1):
        waiting = [workers.ask(page.path) for _ in range(WAITERS)]
        workers.wait_for_connections(WAITERS + 1)
        assert page.asked == 1  # they wait, although their leader's worker is stopped
        os.kill(pid, signal.SIGKILL)
        page.wait_asked(2)
    page.release()
    outcomes = answers(waiting)
    assert [answer[:2] for answer in outcomes] == [(200, b"page")] * WAITERS
    assert sorted(str(answer[2]) for answer in outcomes) == ["COLLAPSED"] * (WAITERS - 1) + ["MISS"]
    assert page.asked == 2
    lost.close()
    workers.front.wait("worker serves", 3)


def test_a_write_whose_worker_dies_has_voided_what_is_kept_all_the_same(
    workers: TwoWorkers, page: Page
) -> None:
    page.release()
    answers([workers.ask(page.path)])
    page.hold()
    with workers.only(0) as pid:
        writing = workers.ask(page.path, "POST")
        page.wait_asked(2)
        assert answers([workers.ask(page.path)])[0][2] == "HIT"  # nobody has been told that it is written
        ended = len(workers.front.events("worker ended"))
        os.kill(pid, signal.SIGKILL)
        workers.front.wait("worker ended", ended + 1)
    page.release()
    assert answers([workers.ask(page.path)])[0][2] == "MISS"
    writing.close()
    workers.front.wait("worker serves", 4)
