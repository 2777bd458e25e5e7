"""The replay does what it says, and its figures are compared."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import instructions
from bench.instructions import build, compare, record, recorded
from bench.processes import BenchError
from bench.replay import Worker
from bench.replaying import replaying, total
from bench.scenarios import CONNECTIONS, NAMES, SCENARIOS, Function, Scenario, Traffic, about


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_is_answered_as_it_says(scenario: Scenario, tmp_path: Path) -> None:
    few = replace(scenario, clients=min(scenario.clients, 48), targets=min(scenario.targets, 400))
    with Worker(tmp_path, scenario.site, workers=scenario.workers) as worker:
        traffic = Traffic(worker, few)
        worker.run(traffic.start())
        before = worker.requests
        worker.run(traffic.run(traffic.prepare(CONNECTIONS * 3)))
        assert worker.requests - before == CONNECTIONS * 3


@pytest.mark.parametrize("name", ["codec", "limiter", "limiter-two-workers"])
def test_function_is_called(name: str) -> None:
    function = Function(name)
    for _ in function.prepare(3):
        function.call(b"")


def test_process_obeys(tmp_path: Path) -> None:
    with replaying("codec", tmp_path, counted=False) as process:
        figures = process.ask("time 10 3").split()
        assert len(figures) == 3
        assert "parse_request_fields" in process.ask("profile 10")
        with pytest.raises(BenchError, match="KeyError: 'sing'"):
            process.ask("sing")


def test_more_than_recorded_is_a_regression(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare({"hit": 1030, "pass": 1000, "codec": 7}, {"hit": 1000, "pass": 1000}, 0.02) == ["hit"]
    printed = capsys.readouterr().out
    assert f"| hit | {about('hit')} | 1,030 | 1,000 | +3.0% |" in printed
    assert "| 7 |  | new |" in printed


def test_figures_belong_to_a_build(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    with pytest.raises(BenchError, match="--record"):
        recorded(path)
    path.write_text(json.dumps({"another": {"hit": 1}}))
    record(path, {"hit": 10, "pass": 20})
    record(path, {"hit": 11})
    assert recorded(path) == {"hit": 11, "pass": 20}
    assert json.loads(path.read_text())["another"] == {"hit": 1}


def test_recorded_figures_name_scenarios_that_exist() -> None:
    for figures in json.loads(instructions.RECORDED.read_text()).values():
        assert set(figures) <= set(NAMES)
    assert build().startswith("CPython 3.")


def test_total_of_a_dump(tmp_path: Path) -> None:
    dump = tmp_path / "callgrind.out.1"
    dump.write_text("events: Ir\nfn=(1) main\n1 5\ntotals: 12345\n")
    assert total(dump) == 12345


def test_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        instructions.main(["hits"])
    assert "no scenario hits; there are codec," in capsys.readouterr().err
