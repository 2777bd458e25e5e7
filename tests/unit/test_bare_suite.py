"""What a newcomer types for the tests, as the README has it; a campaign (bare_suite.py) types it on a fresh Debian."""

import os

from tests.campaigns.bare_suite import is_whole, lines
from tests.fakes.foregate import ROOT


def test_the_readme_says_how_to_get_and_test_it() -> None:
    (_, git), _, (_, test) = lines()
    assert git == "apt-get update && apt-get install -y git"
    assert os.access(ROOT / test, os.X_OK)


def test_only_a_suite_without_anything_left_out_is_whole() -> None:
    assert is_whole("====== 9493 passed in 600.00s (0:10:00) ======")
    for closing in ("1 failed, 2 passed in 1s", "2 passed, 1 skipped in 1s", "2 passed, 1 error in 1s", ""):
        assert not is_whole(closing)
