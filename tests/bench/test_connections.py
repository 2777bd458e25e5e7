"""Memory per connection, with few connections."""

import json

import pytest

from bench.connections import Result, main


def test_few_connections_to_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--proxies", "nginx", "--connections", "50", "--json"]) == 0, capsys.readouterr().err
    (result,) = json.loads(capsys.readouterr().out)
    assert result["proxy"] == "nginx"
    assert result["resident_after"] >= result["resident_before"] > 0


def test_growth_is_divided_by_connections() -> None:
    assert Result("nginx", 8000, 10 * 2**20, 10 * 2**20 + 8000 * 3 * 1024).kilobytes_each == 3.0
