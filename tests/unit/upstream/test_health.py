import math

import pytest

from proxy.upstream.health import (
    FAILURES_IN_A_ROW,
    FIRST_COOLDOWN,
    LONGEST_COOLDOWN,
    FailureStage,
    Health,
    HealthState,
)


@pytest.fixture
def health() -> Health:
    return Health()


def test_a_failed_connect_takes_the_address_out_at_once(health: Health) -> None:
    health.failed(10.0, FailureStage.CONNECT, "connection refused")
    assert health.blocked_until == 10.0 + FIRST_COOLDOWN
    status = health.status(10.1)
    assert (status.state, status.reason) == (HealthState.COOLING_DOWN, "connection refused")
    assert status.retry_at == health.blocked_until


def test_failed_exchanges_take_the_address_out_after_some_in_a_row(health: Health) -> None:
    for _ in range(FAILURES_IN_A_ROW - 1):
        health.failed(10.0, FailureStage.EXCHANGE, "reset")
    assert health.blocked_until == 0.0
    assert health.status(10.0).state is HealthState.HEALTHY
    health.failed(10.0, FailureStage.EXCHANGE, "reset")
    assert health.blocked_until > 10.0


def test_a_success_between_failures_starts_the_count_anew(health: Health) -> None:
    for _ in range(3):
        for _ in range(FAILURES_IN_A_ROW - 1):
            health.failed(10.0, FailureStage.EXCHANGE, "reset")
        health.succeeded()
    assert health.blocked_until == 0.0
    assert health.failures == 0


def test_the_cooldown_doubles_with_each_failed_trial_up_to_a_bound(health: Health) -> None:
    now = 100.0
    health.failed(now, FailureStage.CONNECT, "refused")
    cooldowns = [health.blocked_until - now]
    for _ in range(7):
        now = health.blocked_until
        health.admit(now)
        health.failed(now, FailureStage.CONNECT, "refused")
        cooldowns.append(health.blocked_until - now)
    assert cooldowns == [0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_COOLDOWN, LONGEST_COOLDOWN, LONGEST_COOLDOWN]


def test_failures_of_requests_that_were_under_way_are_one_outage(health: Health) -> None:
    for _ in range(50):
        health.failed(10.0, FailureStage.CONNECT, "reset")
    assert health.blocked_until == 10.0 + FIRST_COOLDOWN


def test_only_one_request_tries_the_address_after_a_cooldown(health: Health) -> None:
    health.failed(10.0, FailureStage.CONNECT, "refused")
    later = health.blocked_until
    health.admit(later)
    assert health.blocked_until > later
    assert health.status(later).state is HealthState.TRIAL


def test_a_trial_that_vanishes_without_a_verdict_is_followed_by_another(health: Health) -> None:
    health.failed(10.0, FailureStage.CONNECT, "refused")
    first = health.blocked_until
    health.admit(first)
    second = health.blocked_until
    assert second == first + FIRST_COOLDOWN
    health.admit(second)
    assert health.blocked_until == second + FIRST_COOLDOWN


def test_a_good_trial_ends_it(health: Health) -> None:
    health.failed(10.0, FailureStage.CONNECT, "refused")
    health.admit(health.blocked_until)
    health.succeeded()
    assert health.blocked_until == 0.0
    assert health.status(11.0).state is HealthState.HEALTHY
    health.failed(20.0, FailureStage.CONNECT, "refused")
    assert health.blocked_until == 20.0 + FIRST_COOLDOWN


def test_a_single_failed_exchange_fails_a_trial(health: Health) -> None:
    health.failed(10.0, FailureStage.CONNECT, "refused")
    now = health.blocked_until
    health.admit(now)
    health.succeeded()
    health.failed(now, FailureStage.CONNECT, "refused")
    now = health.blocked_until
    health.admit(now)
    health.failed(now, FailureStage.EXCHANGE, "reset")
    assert health.blocked_until == now + 2 * FIRST_COOLDOWN


def test_a_failed_probe_blocks_until_a_good_one(health: Health) -> None:
    health.probed(False, "answered 503")
    assert health.blocked_until == math.inf
    assert health.status(1e9).state is HealthState.PROBE_FAILED
    assert health.status(1e9).reason == "answered 503"
    health.succeeded()
    assert health.blocked_until == math.inf
    health.probed(True, "")
    assert health.blocked_until == 0.0


def test_a_good_probe_ends_a_cooldown(health: Health) -> None:
    health.failed(10.0, FailureStage.CONNECT, "refused")
    health.probed(True, "")
    assert health.blocked_until == 0.0
