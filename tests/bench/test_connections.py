"""Memory per connection, with few connections."""

import json

import pytest

from bench.connections import Result, main


def test_few_connections_to_each(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--connections", "50", "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    results = json.loads(printed.out)
    assert [result["proxy"] for result in results] == ["nginx", "foregate"]
    for result in results:
        assert result["resident_before"] > 0
        assert result["resident_after"] > 0


def test_growth_is_divided_by_connections() -> None:
    assert Result("nginx", 8000, 10 * 2**20, 10 * 2**20 + 8000 * 3 * 1024).kilobytes_each == 3.0
