"""Memory per connection, with few connections."""

import json

import pytest

from bench.connections import Result, main, missed, table


def test_few_connections_to_each(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--connections", "50", "--schemes", "https", "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    results = json.loads(printed.out)
    assert [(result["proxy"], result["scheme"]) for result in results] == [
        ("nginx", "https"),
        ("foregate", "https"),
    ]
    for result in results:
        assert result["resident_before"] > 0
        assert result["resident_after"] > 0


def test_growth_is_divided_by_connections() -> None:
    result = Result("foregate", "http", 8000, 10 * 2**20, 10 * 2**20 + 8000 * 3 * 1024)
    assert result.kilobytes_each == 3.0
    assert "| foregate | 8,000 http | 10.0 MB | 33.4 MB | 3.00 KB | ≤ 3 KB | ≤ 1.5 KB |" in table([result])
    assert missed([result]) == []
    assert missed([Result("foregate", "http", 1, 0, 4096), Result("nginx", "http", 1, 0, 4096)]) == [
        "idle-http"
    ]


def test_more_connections_than_descriptors_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--connections", "10000000"]) == 1
    assert "need more descriptors than are allowed" in capsys.readouterr().err
