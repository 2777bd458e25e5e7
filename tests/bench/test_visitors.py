"""What locust and the metrics say, summed up."""

from bench.visitors import Counters, Kind, summary

BEFORE = """
# TYPE foregate_requests_total counter
foregate_requests_total{cache="HIT",code="200",site="a"} 5
# TYPE foregate_limited_requests_total counter
foregate_limited_requests_total{mode="enforced",site="a"} 1
"""
AFTER = """
# TYPE foregate_requests_total counter
foregate_requests_total{cache="HIT",code="200",site="a"} 65
foregate_requests_total{cache="MISS",code="200",site="a"} 10
foregate_requests_total{cache="COLLAPSED",code="200",site="b"} 10
foregate_requests_total{cache="NONE",code="429",site="a"} 20
# TYPE foregate_limited_requests_total counter
foregate_limited_requests_total{mode="enforced",site="a"} 21
# TYPE foregate_upstream_errors_total counter
foregate_upstream_errors_total{reason="reset",site="a"} 2
"""


def test_counters_before_are_subtracted() -> None:
    grown = Counters.of(AFTER).since(Counters.of(BEFORE))
    assert grown.by_cache == {"HIT": 60, "MISS": 10, "COLLAPSED": 10, "NONE": 20}
    assert grown.by_code == {"200": 80, "429": 20}
    assert (grown.limited, grown.upstream_errors) == (20, 2)


def test_summary_tells_limited_and_kept_from_the_app() -> None:
    seen = [Kind("page", 100, 1, 2.0, 9.0)]
    text = summary(seen, Counters.of(AFTER).since(Counters.of(BEFORE)), 0.01)
    assert "| page | 100 | 1 | 2 / 9 ms |" in text
    assert (
        "20 were over the limit (20%), 70 were answered from the cache (88% of the rest), 10 reached" in text
    )
    assert "100 µs per request" in text


def test_percentiles_of_locusts_histogram() -> None:
    times = {"1": 90, "20": 8, "300.0": 2}
    entry = {"name": "page", "num_requests": 100, "num_failures": 0, "response_times": times}
    assert Kind.of(entry) == Kind("page", 100, 0, 1.0, 20.0)
