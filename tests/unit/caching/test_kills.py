"""A few rounds of the campaign that kills and stops workers at random (tests/campaigns/cache_ring_kills.py)."""

from tests.campaigns import cache_ring_kills


def test_killed_and_stopped_workers_harm_nobody() -> None:
    outcome = cache_ring_kills.run(rounds=8, seed=5)
    assert outcome.hits > 0
    assert outcome.stored > 0
    assert outcome.led > 0
    assert (outcome.crossed, outcome.stale, outcome.unexplained) == (0, 0, 0)
