"""Everything that reads what strangers send, on the seeds of tests/campaigns/fuzz.py and on them slightly bent."""

import random

import pytest

from tests.fakes.fuzz_seeds import DICTIONARIES, seeds
from tests.fakes.fuzz_targets import TARGETS

BENT = 400


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks_a_reader(name: str) -> None:
    draw = random.Random(name)
    known = seeds(name)
    for octets in known:
        TARGETS[name](octets)
    for _ in range(BENT):
        octets = draw.choice(known)
        for _ in range(draw.choice((1, 2, 5))):
            place = draw.randrange(len(octets) + 1)
            octets = (
                octets[:place] + draw.choice(DICTIONARIES[name]) + octets[place + draw.choice((0, 0, 1, 7)) :]
            )
        TARGETS[name](octets)
