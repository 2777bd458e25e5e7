"""Under load: the campaigns `tests.campaigns.limits_load` and `tests.campaigns.limits_flood` in short."""

from pathlib import Path

from tests.campaigns import limits_flood, limits_load


def test_one_client_on_many_connections_gets_what_one_bucket_gives(tmp_path: Path) -> None:
    """Two workers, of which one is replaced while the load goes on, and a reload.

    At this rate the bucket takes 15 s to refill, in which the load comes back also on a machine that stalls.
    """
    outcome = limits_load.run(2.0, workers=2, disturbances=2, folder=tmp_path, rate=20)
    assert outcome.least - outcome.workers - outcome.lost <= outcome.admitted, outcome
    # The campaign wants it exact. Here a busy machine may stop a worker that holds the bucket's lock; each decision
    # that the other one makes without it meanwhile may be lost, and is counted.
    assert outcome.admitted <= outcome.most + outcome.workers + outcome.busy, outcome
    assert outcome.refused > 0


def test_a_flood_from_one_address_limits_nobody_else(tmp_path: Path) -> None:
    outcome = limits_flood.run(0.5, workers=2, connections=16, folder=tmp_path)
    assert outcome.honest_limited == 0, outcome
    assert len(outcome.flooded.seconds) >= limits_flood.CLIENTS
    assert outcome.limited > 0
    # What came back during the run and while its ends were waited for; a request may be counted and not answered.
    assert outcome.flood_admitted <= 150 + 2.5 * 30
