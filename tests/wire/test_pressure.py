"""Content through hardly any buffer between slow clients and slow apps: whole, unmixed, and never stuck."""

import pytest

from tests.fakes.playbook import Play
from tests.fakes.pressure import pressure


@pytest.mark.parametrize("seed", range(6))
async def test_every_request_is_answered_whole_however_both_sides_dawdle(whole: Play, seed: int) -> None:
    whole.leaves_cycles = True
    await pressure(whole, seed)


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_with_the_cache_on(cached: Play, seed: int) -> None:
    await pressure(cached, 100 + seed)
