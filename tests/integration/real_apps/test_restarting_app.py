"""Apps that end and come back under load: what is promised to the clients' requests meanwhile."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.front import Front
from tests.fakes.recording import CUT_SHORT, Load, RecordingApp

CLIENTS = 8
ROUNDS = 5
BETWEEN = 150  # good answers between two restarts


@pytest.fixture
def app(tmp_path: Path) -> Iterator[RecordingApp]:
    with RecordingApp("one", tmp_path) as app:
        yield app


def restart_again_and_again(load: Load, app: RecordingApp, how: signal.Signals) -> None:
    for number in range(ROUNDS):
        load.enter(f"up {number}")
        load.wait_for(BETWEEN)
        load.enter(f"restarting {number}")
        app.end(how)
        app.start()
    load.enter("up at last")
    load.wait_for(BETWEEN)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_under_load(app: RecordingApp, how: signal.Signals, open_gate: Callable[..., int]) -> None:
    front = Front("one", open_gate("one.test", [app.origin]))
    with Load(front, CLIENTS).running() as load:
        restart_again_and_again(load, app, how)
    assert load.faults == []
    carried_out = app.carried_out()
    for outcome in load.outcomes:
        times = carried_out[outcome.id]
        if outcome.status == 200:
            # A GET may be sent anew when a kept connection ended before any octet of its response.
            assert times == 1 or (outcome.method == "GET" and times == 2 and how is signal.SIGKILL), outcome
            continue
        if outcome.status == CUT_SHORT:
            assert how is signal.SIGKILL, outcome  # killed between the head and the content of its answer
        else:
            assert outcome.status in (502, 503, 504), outcome
            assert outcome.proxy_status, outcome
            assert "127.0.0.1" not in outcome.proxy_status + outcome.body.decode(), outcome
        # The app that is killed may have carried a request out without answering; one that leaves politely has not.
        assert times <= (1 if how is signal.SIGKILL else 0), outcome
        # From the moment that the app listens again nothing fails; above all, no POST goes to a dead connection.
        assert not outcome.began.startswith("up") or outcome.began != outcome.ended, outcome


def test_requests_go_on_with_the_address_that_is_left_and_the_other_comes_back_by_itself(
    tmp_path: Path, open_gate: Callable[..., int]
) -> None:
    with ExitStack() as stack:
        one, two = (stack.enter_context(RecordingApp(name, tmp_path)) for name in ("one", "two"))
        front = Front("two", open_gate("two.test", [one.origin, two.origin]))
        with front.connection() as connection:
            asked = 0

            def answered_by(method: str) -> bytes:
                nonlocal asked
                asked += 1
                answer = front.ask(method, f"/carry-out?id={method}{asked}", connection=connection)
                assert answer.status == 200
                return answer.body

            assert {answered_by("POST") for _ in range(10)} == {b"one", b"two"}
            one.end(signal.SIGKILL)
            assert {answered_by(method) for method in ("POST", "GET") * 50} == {b"two"}
            one.start()
            while answered_by("POST") != b"one":
                continue
        assert sum((one.carried_out() + two.carried_out()).values()) == asked
