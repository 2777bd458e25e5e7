"""What load generators print, read right."""

from pathlib import Path

import pytest

from bench import overload
from bench.h2load import Answers, percentile, read_log
from bench.interpreter import REPOSITORY, interpreter
from bench.plot import Bar, bars, curves
from bench.processes import BenchError, free_ports
from bench.websockets import figures


def test_log_of_h2load(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1\t200\t900\n2\t200\t100\n3\t503\t400\n4\t-1\t99999\n")
    statuses, latencies = read_log(log)
    assert statuses == {200: 2, 503: 1, -1: 1}
    assert latencies == (100, 400, 900)
    assert Answers({200: 2, 302: 1, 503: 4, -1: 1}, (), 0, 1.0).good == 3


def test_ports_that_are_found_together_differ() -> None:
    assert len(set(free_ports(50))) == 50


def test_percentiles() -> None:
    ordered = list(range(1, 1001))
    assert [percentile(ordered, share) for share in (0.5, 0.99, 0.999)] == [501, 991, 1000]
    assert percentile([], 0.5) == 0
    assert figures([10, 20], 1.0, 1) == {
        "requests": 2,
        "seconds": 1.0,
        "statuses": 0,
        "socket_errors": 1,
        "p50": 20,
        "p99": 20,
        "p999": 20,
    }


def test_overload_is_told_as_a_share_of_capacity() -> None:
    step = overload.Step("nginx", 2.0, 1000.0, 950.0, 1500, 250_000, 3)
    assert "| nginx | 2 | 1000/s | 950/s | 95% | 1.50 ms / 250.00 ms | 3 |" in overload.table([step])


def test_this_python_runs_foregate() -> None:
    found = interpreter()
    assert found.command("proxy")[1:] == ["-P", "-m", "proxy"]
    assert str(REPOSITORY) in found.environment["PYTHONPATH"]


def test_a_python_that_fails_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no library >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(BenchError, match="no Python that works: no library"):
        interpreter(str(broken))


def test_a_python_of_another_version_needs_its_own_dependencies(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho '[[3, 99], \"3.99.1\", false]'\n")
    other.chmod(0o755)
    with pytest.raises(BenchError, match=r"3\.99\.1 without Foregate's dependencies"):
        interpreter(str(other))


def test_plots_have_every_label_and_colour_what_is_above_its_bound() -> None:
    drawn = bars("title", [Bar("a & b", 0.5, {"haproxy": 0.7}, 1.0), Bar("c", 3.0, {}, 1.6)])
    assert "a &amp; b" in drawn
    assert drawn.count("#c8553d") == 1
    lines = curves("t", {"x": [(1, 2.0), (1000, 2.1)]}, x_label="sites", y_label="µs")
    assert lines.count("<circle") == 2
    assert "1,000" in lines
