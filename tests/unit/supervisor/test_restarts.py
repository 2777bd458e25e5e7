"""Restarts: at once after an accident, later and later after a pattern, and not for ever."""

from proxy.supervisor.restarts import RestartPolicy


def test_an_accident_is_repaired_at_once() -> None:
    policy = RestartPolicy()
    assert [policy.delay(served=3600.0) for _ in range(10)] == [0.0] * 10
    assert not policy.hopeless


def test_quick_ends_wait_twice_as_long_each_time() -> None:
    policy = RestartPolicy()
    delays = [policy.delay(served=1.0) for _ in range(14)]
    assert delays[:6] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == 30.0
    assert not policy.hopeless  # they were ready


def test_a_steady_worker_ends_the_pattern() -> None:
    policy = RestartPolicy()
    for _ in range(6):
        policy.delay(served=1.0)
    assert policy.delay(served=60.0) == 0.0
    assert policy.delay(served=1.0) == 0.0


def test_workers_that_are_never_ready_are_hopeless() -> None:
    policy = RestartPolicy()
    for _ in range(4):
        policy.delay(served=None)
    assert not policy.hopeless
    policy.delay(served=None)
    assert policy.hopeless


def test_one_that_gets_ready_gives_hope() -> None:
    policy = RestartPolicy()
    for _ in range(4):
        policy.delay(served=None)
    policy.ready()
    policy.delay(served=None)
    assert not policy.hopeless
