"""The comparison in its short form: real servers, real load, one round."""

import json
from pathlib import Path

import pytest

from bench.compare import Cell, main, missed, table
from bench.load import Measurement
from bench.rows import ROWS, chosen_rows


def _cell(proxy: str, cpu: float, *, row: str = "pass-http") -> Cell:
    run = Measurement(requests=1000, seconds=1.0, cpu=cpu, errors=0, p50=500, p99=2000, p999=3000)
    return Cell(chosen_rows(row)[0], proxy, (run,))


def test_short_run_writes_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    rows = "hit-http,hit-https,pass-http,new-https,limited-http"
    options = ["--rows", rows, "--rounds", "1", "--seconds", "1", "--json", str(figures)]
    status = main(options)
    printed = capsys.readouterr()
    assert status == 0, printed.out + printed.err
    cells = json.loads(figures.read_text())["cells"]
    wanted = [(row, proxy) for row in rows.split(",") for proxy in ("nginx", "foregate")]
    assert [(cell["row"], cell["proxy"]) for cell in cells] == wanted
    for cell in cells:
        assert cell["requests"] > 0
        assert cell["errors"] == 0
    assert "pass-through, http" in printed.out


def test_ratio_is_to_nginx_and_what_is_above_must_is_named() -> None:
    cells = [_cell("nginx", 0.020), _cell("foregate", 0.040)]
    assert "| 40.0 µs | 2.00 | ≤ 1.6 |" in table(cells, {"nginx": "1.22.1", "foregate": "0.1.0"})
    assert missed(cells) == ["pass-http"]
    assert missed([_cell("nginx", 0.020), _cell("foregate", 0.030)]) == []


def test_without_the_reference_nothing_is_claimed() -> None:
    assert missed([_cell("foregate", 9.0)]) == []


def test_unknown_names_are_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rows", "pass-gopher"])
    assert "no row pass-gopher; there are hit-http," in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--proxies", "squid"])
    assert "no proxy squid; there are nginx, foregate" in capsys.readouterr().err


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
