"""Compare CPU time per request with nginx's: python -m bench.compare --help."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.load import Measurement, measure, probe
from bench.processes import BenchError, working_folder
from bench.proxies import KINDS, Kind, Proxy, chosen_kinds, running_origin, running_proxy
from bench.rows import ROWS, Row, chosen_rows

REFERENCE = "nginx"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one proxy needed for one row: the median over the rounds, and the spread."""

    row: Row
    proxy: str
    runs: tuple[Measurement, ...]

    @property
    def cpu(self) -> float:
        """Microseconds of CPU time per request."""
        return median(run.cpu_per_request for run in self.runs)

    def as_json(self) -> dict[str, object]:
        """Shape the cell for the JSON file."""
        return {
            "row": self.row.name,
            "proxy": self.proxy,
            "cpu_microseconds_per_request": round(self.cpu, 3),
            "cpu_microseconds_per_request_of_each_round": [
                round(run.cpu_per_request, 3) for run in self.runs
            ],
            "requests_per_second": round(median(run.rate for run in self.runs), 1),
            "requests": sum(run.requests for run in self.runs),
            "errors": sum(run.errors for run in self.runs),
            "p50_microseconds": median(run.p50 for run in self.runs),
            "p99_microseconds": median(run.p99 for run in self.runs),
            "p999_microseconds": median(run.p999 for run in self.runs),
        }


def machine() -> dict[str, str]:
    """Describe where and when the figures were made."""
    model = "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def run(rows: Sequence[Row], kinds: Sequence[Kind], rounds: int, seconds: float) -> list[Cell]:
    """Measure every row with every proxy in turn (A B A B), so that a drift of the machine hits all alike."""
    cells: list[Cell] = []
    with working_folder() as folder, running_origin(folder) as origin:
        for row in rows:
            with contextlib.ExitStack() as stack:
                proxies = [
                    stack.enter_context(running_proxy(kind, row.site, folder, origin))
                    for kind in kinds
                    if kind.can_do(row)
                ]
                for proxy in proxies:
                    probe(proxy, row)
                cells.extend(_run_row(row, proxies, rounds, seconds))
    return cells


def _run_row(row: Row, proxies: Sequence[Proxy], rounds: int, seconds: float) -> list[Cell]:
    runs: dict[str, list[Measurement]] = {proxy.kind.name: [] for proxy in proxies}
    for number in range(1, rounds + 1):
        for proxy in proxies:
            found = measure(proxy, row, seconds)
            runs[proxy.kind.name].append(found)
            print(
                f"  {row.name} round {number} {proxy.kind.name}: {found.cpu_per_request:.1f} µs, "
                f"{found.rate:.0f}/s, {found.errors} errors",
                file=sys.stderr,
            )
    return [Cell(row, name, tuple(measured)) for name, measured in runs.items()]


def table(cells: Sequence[Cell], versions: dict[str, str]) -> str:
    """Lay the figures out as a Markdown table with ratios to nginx."""
    lines = [
        "| work | proxy | CPU per request | x nginx | must | aim | requests/s | p50 / p99 / p99.9 | errors |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    reference = {cell.row.name: cell.cpu for cell in cells if cell.proxy == REFERENCE}
    for cell in cells:
        base = reference.get(cell.row.name)
        ours = cell.proxy == "foregate"
        columns = [
            cell.row.title,
            f"{cell.proxy} {versions[cell.proxy]}",
            _microseconds(cell.cpu),
            f"{cell.cpu / base:.2f}" if base else "",
            f"≤ {cell.row.must}" if ours and cell.row.must else "",
            f"≤ {cell.row.aim}" if ours and cell.row.aim else "",
            f"{median(run.rate for run in cell.runs):.0f}",
            " / ".join(
                _microseconds(median(figures))
                for figures in (
                    [run.p50 for run in cell.runs],
                    [run.p99 for run in cell.runs],
                    [run.p999 for run in cell.runs],
                )
            ),
            str(sum(run.errors for run in cell.runs)),
        ]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def _microseconds(value: float) -> str:
    return f"{value:.1f} µs" if value < 1000 else f"{value / 1000:.2f} ms"


def missed(cells: Sequence[Cell]) -> list[str]:
    """Name the rows in which Foregate needs more than it must."""
    reference = {cell.row.name: cell.cpu for cell in cells if cell.proxy == REFERENCE}
    return [
        cell.row.name
        for cell in cells
        if cell.proxy == "foregate"
        and cell.row.must is not None
        and cell.row.name in reference
        and cell.cpu > cell.row.must * reference[cell.row.name]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 when something needed is missing, or answers wrongly or not at all."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("--rows", default="", help="comma-separated: " + ", ".join(row.name for row in ROWS))
    parser.add_argument("--proxies", default="nginx,foregate", help="comma-separated: " + ", ".join(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run; whole seconds")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args(arguments)
    try:
        rows, kinds = chosen_rows(options.rows), chosen_kinds(options.proxies)
    except ValueError as exc:
        parser.error(str(exc))
    try:
        cells = run(rows, kinds, options.rounds, options.seconds)
        versions = {kind.name: kind.version() for kind in kinds}
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(table(cells, versions))
    about = machine()
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    if late := missed(cells):
        print("above what it must be: " + ", ".join(late))
    broken = [f"{cell.row.name} by {cell.proxy}" for cell in cells if any(run.errors for run in cell.runs)]
    if broken:
        print("errors in: " + ", ".join(broken))
    if options.json:
        document = {"machine": about, "versions": versions, "cells": [cell.as_json() for cell in cells]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
