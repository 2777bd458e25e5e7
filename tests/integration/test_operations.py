"""Reloads and a kill under load: the campaign in its short form (upgrades: test_upgrade.py)."""

from pathlib import Path

from tests.campaigns.operations import campaign


async def test_operations_under_load_lose_nothing(tmp_path: Path) -> None:
    outcome = await campaign(tmp_path, reloads=3, kills=1, upgrades=0, busy=0)
    assert outcome.passed, outcome
    assert outcome.answers > 20
