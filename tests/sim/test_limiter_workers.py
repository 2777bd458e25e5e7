"""One client on several workers, in short: `tests.campaigns.limiter_workers` runs it for 20 seconds."""

import pytest

from tests.campaigns import limiter_workers


@pytest.mark.parametrize(("workers", "kills"), [(1, 0), (2, 0), (3, 4)])
def test_the_number_admitted_is_the_ideal_one_to_within_the_number_of_workers(
    workers: int, kills: int
) -> None:
    outcome = limiter_workers.run(seconds=0.5, workers=workers, kills=kills)
    assert outcome.is_exact, outcome
    assert outcome.kills == kills
