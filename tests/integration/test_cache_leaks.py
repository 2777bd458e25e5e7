"""The short form of tests.campaigns.cache_leaks."""

import asyncio
from pathlib import Path

from tests.campaigns.cache_leaks import campaign


def test_no_answer_crosses_and_none_is_older_than_an_own_write(tmp_path: Path) -> None:
    findings, reached = asyncio.run(campaign(10_000, 7, tmp_path))
    assert findings.requests == 10_000
    assert findings.crossed == []
    assert findings.stale == []
    assert findings.outcomes["HIT"] > 1_000
    assert reached < 10_000
