"""A short form of tests/campaigns/soak.py, with every fault once."""

from pathlib import Path

from tests.campaigns.soak import Campaign


async def test_some_seconds_of_everything_at_once(tmp_path: Path) -> None:
    campaign = Campaign(2.0, 14, 1, tmp_path)
    await campaign.run()
    assert campaign.wrong == []
