"""The comparison in its short form: real servers, real load, one round."""

import json
from pathlib import Path

import pytest

from bench.compare import main
from bench.load import Measurement
from bench.processes import BenchError
from bench.report import Cell, Figures, chart, details, ratios, write_between
from bench.rows import GROUPS, ROWS, chosen_rows


def _cell(proxy: str, cpu: float, *, row: str = "pass-http", errors: int = 0) -> Cell:
    run = Measurement(
        requests=1000, seconds=1.0, cpu=cpu, errors=errors, p50=500, p99=2000, p999=3000, resident=2**20
    )
    return Cell(chosen_rows(row)[0], proxy, (run,))


def test_short_run_writes_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    rows = "pass-cookies,new-https,upload-100k,websocket"
    status = main(["--rows", rows, "--quick", "--json", str(figures)])
    printed = capsys.readouterr()
    assert status == 0, printed.out + printed.err
    cells = json.loads(figures.read_text())["cells"]
    wanted = [(row, proxy) for row in rows.split(",") for proxy in ("nginx", "foregate")]
    assert [(cell["row"], cell["proxy"]) for cell in cells] == wanted
    for cell in cells:
        assert cell["requests"] > 0
        assert cell["errors"] == 0
        assert cell["resident_octets"] > 0
    assert "WebSocket message" in printed.out


def test_ratio_is_to_nginx_and_what_is_above_must_is_named() -> None:
    figures = Figures([_cell("nginx", 0.020), _cell("foregate", 0.040), _cell("caddy", 0.080)])
    line = "| pass-through, http | 20.0 µs | 40.0 µs | **2.00** | ≤ 1.6 | ≤ 1.0 | 80.0 µs | 0.50 |"
    assert line in ratios(figures)
    assert figures.missed() == ["pass-http"]
    beside = Figures([_cell("foregate", 0.041), _cell("caddy", 0.080)])
    assert beside.missed() == ["pass-http beside Caddy"]
    assert Figures([_cell("nginx", 0.020), _cell("foregate", 0.030)]).missed() == []


def test_the_compiled_form_has_its_own_ratio() -> None:
    figures = Figures([_cell("nginx", 0.020), _cell("foregate", 0.040), _cell("compiled", 0.030)])
    line = "| pass-through, http | 20.0 µs | 40.0 µs | **2.00** | 30.0 µs | **1.50** | ≤ 1.6 | ≤ 1.0 |  |"
    assert line in ratios(figures)
    assert figures.missed("compiled") == []


def test_a_compiled_form_that_is_not_there_is_made_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.proxies.COMPILED", tmp_path)
    assert main(["--proxies", "nginx,compiled"]) == 1
    assert "the compiled form is missing: scripts/compiled.sh true" in capsys.readouterr().err


def test_hits_stand_beside_what_caddy_passes_through() -> None:
    figures = Figures([_cell("foregate", 0.020, row="hit-http"), _cell("caddy", 0.080)])
    assert figures.ratio(chosen_rows("hit-http")[0], "caddy") == 0.25


def test_without_the_reference_nothing_is_claimed() -> None:
    figures = Figures([_cell("foregate", 9.0)])
    assert figures.missed() == []
    assert "<rect" in chart(figures)
    assert "| pass-through, http |  | 9.00 ms |  |" in ratios(figures)


def test_details_have_rates_memory_and_errors() -> None:
    line = "| pass-through, http | nginx | 1000 | 500.0 µs / 2.00 ms / 3.00 ms | 1 MB | 7 |"
    assert line in details(Figures([_cell("nginx", 0.02, errors=7)]))


def test_unknown_names_are_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rows", "pass-gopher"])
    assert "no row pass-gopher; there are hit-http," in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--proxies", "squid"])
    assert "no proxy squid; there are nginx, foregate" in capsys.readouterr().err


def test_python_that_does_not_work_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--python", "/nowhere/python"]) == 1
    assert "/nowhere/python cannot be run: No such file" in capsys.readouterr().err


def test_every_missing_package_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.proxies._found", lambda name: None if name in ("h2load", "caddy") else name)
    monkeypatch.setattr("bench.proxies.COMPILED", tmp_path)
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "pipeline.so").touch()
    assert main(["--all"]) == 1
    assert "apt-get install caddy nghttp2-client" in capsys.readouterr().err


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert chosen_rows("promised") == GROUPS["promised"]
    assert chosen_rows("") == ROWS
    assert {row.workers for row in chosen_rows("two-workers")} == {2}


def test_text_goes_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- compare: begin -->\nold\n<!-- compare: end -->\nafter\n")
    write_between(page, "compare", "| new |\n")
    assert page.read_text() == (
        "before\n<!-- compare: begin -->\n\n| new |\n\n<!-- compare: end -->\nafter\n"
    )
    with pytest.raises(BenchError, match="scale: begin"):
        write_between(page, "scale", "")
