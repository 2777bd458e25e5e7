"""When to renew, how long to wait after a failure, and what state that makes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocert.renewal import (
    ARI_INTERVAL,
    ARI_LONGEST,
    DAY,
    Backoff,
    Lifetime,
    Reason,
    State,
    Window,
    is_urgent,
    next_ari_check,
    next_attempt,
    renewal_moment,
    rest_after_success,
    stable_fraction,
    state_of,
)

START = 1_800_000_000.0


def lifetime(days: float, name: str = "cert") -> Lifetime:
    return Lifetime(name, START, START + days * DAY)


@pytest.mark.parametrize(
    ("days", "share", "reason"),
    [
        (90, 2 / 3, Reason.SHARE),
        (64, 2 / 3, Reason.SHARE),
        (45, 2 / 3, Reason.SHARE),
        (10, 2 / 3, Reason.SHARE),
        (160 / 24, 1 / 2, Reason.HALF),
        (60 / 86400, 1 / 2, Reason.HALF),
    ],
)
def test_share_of_the_lifetime(days: float, share: float, reason: Reason) -> None:
    moment, why = renewal_moment(lifetime(days), None)
    part = (moment - START) / (days * DAY)
    assert share - 0.05 <= part <= share
    assert why is reason


def test_moments_without_a_window_are_spread() -> None:
    moments = {renewal_moment(lifetime(90, str(n)), None)[0] for n in range(50)}
    assert max(moments) - min(moments) > 3 * DAY


def test_the_moment_in_a_window_stays_put_and_is_in_it() -> None:
    window = Window(START + 50 * DAY, START + 52 * DAY)
    moments = {renewal_moment(lifetime(90), window)[0] for _ in range(10)}
    assert len(moments) == 1
    assert window.start <= moments.pop() < window.end
    assert renewal_moment(lifetime(90), window)[1] is Reason.ARI


def test_moments_in_one_window_differ_among_certificates() -> None:
    window = Window(START + 50 * DAY, START + 52 * DAY)
    moments = [renewal_moment(lifetime(90, str(n)), window)[0] for n in range(200)]
    assert min(moments) < window.start + 0.1 * DAY
    assert max(moments) > window.end - 0.1 * DAY


def test_a_window_in_the_past_makes_it_due() -> None:
    """A CA that is about to revoke sets such a window (RFC 9773 section 4.2)."""
    moment, _ = renewal_moment(lifetime(90), Window(START - 2 * DAY, START - DAY))
    assert moment < START


@pytest.mark.parametrize(
    "window",
    [
        Window(START + DAY, START + DAY),
        Window(START + 2 * DAY, START + DAY),
        Window(START + 100 * DAY, START + 101 * DAY),
    ],
    ids=["empty", "reversed", "after the end"],
)
def test_a_useless_window_does_not_count(window: Window) -> None:
    assert renewal_moment(lifetime(90), window) == renewal_moment(lifetime(90), None)


@given(st.floats(60, 400 * DAY), st.floats(-10, 500), st.floats(-10, 500))
def test_a_certificate_is_always_due_before_it_ends(span: float, start: float, length: float) -> None:
    life = Lifetime("x", START, START + span)
    window = Window(START + start * DAY, START + (start + length) * DAY)
    assert renewal_moment(life, window)[0] < life.not_after


def test_stable_fraction_is_the_same_everywhere() -> None:
    assert stable_fraction("a", "b") == pytest.approx(0.7895, abs=1)
    assert stable_fraction("a", "b") != stable_fraction("ab", "")
    assert 0 <= stable_fraction("x") < 1


def test_urgent_only_in_the_last_tenth() -> None:
    life = lifetime(90)
    assert not is_urgent(life, START + 80 * DAY)
    assert is_urgent(life, START + 82 * DAY)
    assert is_urgent(life, START + 100 * DAY)
    assert not is_urgent(None, START)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, ARI_INTERVAL), (21600.0, 21600.0), (1.0, 60.0), (30 * DAY, ARI_LONGEST)],
)
def test_next_ari_check(retry_after: float | None, seconds: float) -> None:
    assert next_ari_check(START, retry_after) == START + seconds


def test_backoff_is_1_10_100_minutes_then_daily() -> None:
    backoff, waits = Backoff(), []
    for _ in range(6):
        backoff = backoff.after_failure(START, None, "name")
        waits.append(backoff.until - START)
    for wait, step in zip(waits, [60, 600, 6000, DAY, DAY, DAY], strict=True):
        assert step <= wait <= step * 1.05


def test_no_answer_never_waits_longer_than_ten_minutes_and_forgets_no_failure() -> None:
    backoff = Backoff().after_failure(START, None, "name").after_failure(START, None, "name")
    for _ in range(20):
        backoff = backoff.after_no_answer(START, None, "name")
        assert backoff.until - START <= 600 * 1.05
    assert backoff.failures == 2
    assert backoff.after_failure(START, None, "name").until - START >= 6000


@pytest.mark.parametrize(("retry_after", "least"), [(10.0, 60.0), (5000.0, 5000.0), (1e12, 8 * DAY)])
def test_retry_after_counts_when_longer_and_sane(retry_after: float, least: float) -> None:
    wait = Backoff().after_failure(START, retry_after, "name").until - START
    assert least <= wait <= least * 1.05


def test_names_that_fail_together_come_back_apart() -> None:
    untils = {Backoff().after_failure(START, None, f"name{n}").until for n in range(20)}
    assert len(untils) == 20


def test_a_clock_set_back_does_not_prolong_a_wait() -> None:
    backoff = Backoff().after_failure(START, None, "name")
    seen = backoff.at(START - 365 * DAY)
    assert seen.until - (START - 365 * DAY) == pytest.approx(backoff.until - START)
    assert backoff.at(START + 1) == backoff


def test_a_moved_clock_moves_the_wait() -> None:
    backoff = Backoff().after_failure(START, None, "name")
    assert backoff.shifted(1000).until == backoff.until + 1000
    assert Backoff().shifted(1000) == Backoff()


@pytest.mark.parametrize(("days", "seconds"), [(90, 21600.0), (60 / 86400, 3.0)])
def test_the_rest_after_success_suits_the_lifetime(days: float, seconds: float) -> None:
    rest = rest_after_success(lifetime(days), START + 5)
    assert rest.until == pytest.approx(START + 5 + seconds)
    assert rest.is_rest


WAITING = Backoff(1, 0, START, START + 40 * 365 * DAY)


@pytest.mark.parametrize(
    ("life", "now", "backoff", "issuing", "state"),
    [
        (None, START, Backoff(), False, State.ABSENT),
        (None, START, Backoff(), True, State.ISSUING),
        (None, START, WAITING, False, State.BACKOFF),
        (lifetime(90), START + DAY, Backoff(), False, State.VALID),
        (lifetime(90), START + DAY, WAITING, False, State.VALID),
        (lifetime(90), START + 61 * DAY, Backoff(), False, State.DUE),
        (lifetime(90), START + 61 * DAY, WAITING, False, State.BACKOFF),
        (lifetime(90), START + 61 * DAY, Backoff(), True, State.ISSUING),
        (lifetime(90), START + 91 * DAY, Backoff(), False, State.EXPIRED),
        (lifetime(90), START + 91 * DAY, WAITING, False, State.EXPIRED),
    ],
)
def test_states(life: Lifetime | None, now: float, backoff: Backoff, issuing: bool, state: State) -> None:
    due_at = renewal_moment(life, None)[0] if life else 0.0
    assert state_of(life, due_at, backoff, issuing=issuing, now=now) is state


def test_next_attempt() -> None:
    life = lifetime(90)
    due_at = renewal_moment(life, None)[0]
    assert next_attempt(None, 0.0, Backoff(), START) == START
    assert next_attempt(life, due_at, Backoff(), START) == due_at
    assert next_attempt(life, due_at, WAITING, START) == WAITING.until


def test_a_seeded_year_never_lets_a_certificate_end() -> None:
    """Whatever windows a CA names, renewing at the chosen moment keeps a certificate valid all year."""
    chance = random.Random(7)
    for _ in range(50):
        now, life = START, lifetime(chance.choice([6.6, 45, 64, 90]))
        while now < START + 365 * DAY:
            start = life.not_before + chance.uniform(0, 1) * life.span
            window = Window(start, start + chance.uniform(-1, 3) * DAY) if chance.random() < 0.7 else None
            now = max(renewal_moment(life, window)[0], now)
            assert now < life.not_after
            life = Lifetime(str(now), now, now + life.span)
