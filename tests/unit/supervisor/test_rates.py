"""Rates over the last minute, of a counter that only grows."""

from proxy.supervisor.rates import Rate


def test_without_two_samples_there_is_no_rate() -> None:
    rate = Rate()
    assert rate.per_second == 0.0
    rate.sample(10.0, 500)
    assert rate.per_second == 0.0
    rate.sample(10.0, 600)
    assert rate.per_second == 0.0


def test_growth_by_time() -> None:
    rate = Rate()
    rate.sample(10.0, 500)
    rate.sample(20.0, 700)
    assert rate.per_second == 20.0


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    rate = Rate()
    for second in range(0, 200, 10):
        rate.sample(second, 1000 * second if second <= 100 else 100_000)
    assert rate.per_second == 0.0
