"""Clients and apps that do anything at any moment: nothing escapes, nothing is left, every request is logged once.

Nothing is asserted about what they get; only that the gateway's books are in order when all of them have gone.
`tests/campaigns/disorder.py` does the same thousands of times.
"""

import random

import pytest

from tests.fakes.disorder import disorder
from tests.fakes.playbook import Play

RUNS = 10


@pytest.mark.parametrize("seed", range(RUNS))
async def test_the_books_are_in_order_after_any_disorder(whole: Play, seed: int) -> None:
    await disorder(whole, random.Random(seed), time_passes=False)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_the_books_are_in_order_after_any_disorder_in_time(warped: Play, seed: int) -> None:
    await disorder(warped, random.Random(1000 + seed), time_passes=True)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_the_books_are_in_order_with_the_cache_on(cached: Play, seed: int) -> None:
    await disorder(cached, random.Random(2000 + seed), time_passes=False)
