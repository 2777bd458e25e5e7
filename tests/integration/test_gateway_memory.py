"""The short form of tests.campaigns.streaming_memory: content streams through a real worker, it does not pile up."""

from pathlib import Path

from tests.campaigns.streaming_memory import ALLOWED, campaign


def test_large_content_through_slow_peers_leaves_the_workers_memory_alone(tmp_path: Path) -> None:
    upload, download = campaign(64, tmp_path)
    assert upload.growth < ALLOWED
    assert download.growth < ALLOWED
