"""Compare CPU time per request with nginx's: python -m bench.compare --help."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from bench import connections, overload, report
from bench.interpreter import REPOSITORY
from bench.load import DRIVERS, Measurement, measure, probe
from bench.processes import BenchError, working_folder
from bench.proxies import (
    NAMES,
    Kind,
    Proxy,
    check_programs,
    chosen_kinds,
    running_echo,
    running_origin,
    running_proxy,
)
from bench.report import COMPILED, OURS, REFERENCE, Cell, Figures
from bench.rows import GROUPS, PROMISED, ROWS, Row, chosen_rows

EVERYBODY = ",".join(NAMES)
CHART = Path(__file__).with_name("figures") / "compare.svg"
RESULTS = Path(__file__).with_name("figures") / "compare.json"
SUMMARY = REPOSITORY / "scripts" / "figures.py"  # brings the main figures into the README of the repository
IDLE = 10_000


def run(
    rows: Sequence[Row], kinds: Sequence[Kind], rounds: int, seconds: float, driver: str = "wrk"
) -> list[Cell]:
    """Measure every row with every proxy in turn (A B A B), so that a drift of the machine hits all alike."""
    cells: list[Cell] = []
    with working_folder() as folder, running_origin(folder) as origin, running_echo(folder) as echo:
        ordered = sorted(rows, key=lambda row: (row.site, row.workers))
        for (site, workers), group in groupby(ordered, key=lambda row: (row.site, row.workers)):
            same = list(group)
            able = [kind for kind in kinds if any(kind.can_do(row) for row in same)]
            app = echo if site == "websocket" else origin
            with _running(able, site, folder, app, workers) as proxies:
                for row in same:
                    chosen = [proxy for proxy in proxies if proxy.kind.can_do(row)]
                    cells.extend(_run_row(row, chosen, rounds, seconds, driver))
    order = {row.name: number for number, row in enumerate(rows)}
    return sorted(cells, key=lambda cell: order[cell.row.name])


@contextlib.contextmanager
def _running(kinds: Sequence[Kind], site: str, folder: Path, app: int, workers: int) -> Iterator[list[Proxy]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running_proxy(kind, site, folder, app, workers=workers)) for kind in kinds]


def _run_row(row: Row, proxies: Sequence[Proxy], rounds: int, seconds: float, driver: str) -> Iterator[Cell]:
    runs: dict[str, list[Measurement]] = {proxy.kind.name: [] for proxy in proxies}
    for proxy in proxies:
        probe(proxy, row)
    for number in range(1, rounds + 1):
        for proxy in proxies:
            found = measure(proxy, row, seconds, driver)
            runs[proxy.kind.name].append(found)
            print(
                f"  {row.name} round {number} {proxy.kind.name}: {found.cpu_per_request:.1f} µs, "
                f"{found.rate:.0f}/s, {found.errors} errors",
                file=sys.stderr,
            )
    return (Cell(row, name, tuple(measured)) for name, measured in runs.items())


def everything(kinds: Sequence[Kind], rounds: int, seconds: float) -> tuple[Figures, str, dict[str, object]]:
    """Measure all there is; return the rows' figures, the text of all tables, and what the JSON holds."""
    about = report.machine()
    idling = [kind for kind in kinds if kind.name in (REFERENCE, OURS, COMPILED)]
    extra = [row for row in ROWS if row not in PROMISED]
    cells = [*run(PROMISED, kinds, rounds, seconds), *run(extra, kinds, max(1, rounds - 1), seconds)]
    count = min(IDLE, connections.most())
    idle = [
        connections.measure(kind, count, scheme=scheme) for scheme in connections.SCHEMES for kind in idling
    ]
    steps = overload.run(kinds, max(2.0, seconds))
    figures, versions = Figures(cells), {kind.name: kind.version() for kind in kinds}
    text = "\n\n".join(
        (
            ", ".join(f"{name} {value}" for name, value in about.items())
            + "; "
            + ", ".join(f"{name} {number}" for name, number in versions.items()),
            *_missed(figures, connections.missed(idle)),
            report.ratios(figures),
            "![Foregate's CPU time per request as a multiple of nginx's](figures/compare.svg)",
            "Idle keep-alive connections:\n\n" + connections.table(idle),
            "Overload (pass-through, http):\n\n" + overload.table(steps),
            "Throughput, latency and memory of the same runs:\n\n" + report.details(figures),
        )
    )
    document: dict[str, object] = {
        "machine": about,
        "versions": versions,
        "cells": [cell.as_json() for cell in cells],
        "idle": [asdict(result) for result in idle],
        "overload": [asdict(step) for step in steps],
    }
    return figures, text, document


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 when something needed is missing, or answers wrongly or not at all."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    names = ", ".join((*GROUPS, *(row.name for row in ROWS)))
    parser.add_argument("--rows", default="promised", help=f"comma-separated: {names}")
    parser.add_argument("--proxies", help=f"comma-separated: {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run; whole seconds")
    parser.add_argument(
        "--driver", choices=DRIVERS, default="wrk", help="h2load: only rows whose requests are all alike"
    )
    parser.add_argument("--python", default="", help="the Python that Foregate runs under")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--all", action="store_true", help="all rows and proxies, connections, overload")
    parser.add_argument(
        "--write", action="store_true", help="with --all: write table, plot and JSON into bench/"
    )
    parser.add_argument("--quick", action="store_true", help="one round of a second: to see that it works")
    options = parser.parse_args(arguments)
    rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
    try:
        rows = chosen_rows(options.rows)
        if options.driver == "h2load":
            rows = tuple(row for row in rows if row.is_simple)
        proxies = options.proxies or (EVERYBODY if options.all else f"{REFERENCE},{OURS}")
        kinds = chosen_kinds(proxies, options.python)
        wanted = [kind.name for kind in kinds if kind.name not in (OURS, COMPILED)] + [
            "nginx",
            options.driver,
        ]
        check_programs(sorted({*wanted, *(("h2load",) if options.all else ())}))
        if options.all:
            figures, text, document = everything(kinds, rounds, seconds)
        else:
            figures, text, document = _some(rows, kinds, rounds, seconds, options.driver)
    except ValueError as exc:
        parser.error(str(exc))
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(text)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.all and options.write:
        _write(figures, text, document)
    broken = [f"{cell.row.name} by {cell.proxy}" for cell in figures.cells if cell.errors]
    if broken:
        print("\nerrors in: " + ", ".join(broken))
    return 1 if broken else 0


def _some(
    rows: Sequence[Row], kinds: Sequence[Kind], rounds: int, seconds: float, driver: str
) -> tuple[Figures, str, dict[str, object]]:
    about = report.machine()
    figures = Figures(run(rows, kinds, rounds, seconds, driver))
    versions = {kind.name: kind.version() for kind in kinds}
    parts = [report.ratios(figures), report.details(figures)]
    parts.append(", ".join(f"{name} {value}" for name, value in {**about, **versions}.items()))
    parts += _missed(figures)
    cells = [cell.as_json() for cell in figures.cells]
    return figures, "\n\n".join(parts), {"machine": about, "versions": versions, "cells": cells}


def _missed(figures: Figures, idle: Sequence[str] = ()) -> Iterator[str]:
    for proxy in (OURS, COMPILED):
        if proxy in figures.proxies:
            yield f"Above what they must be, {proxy}: {', '.join(figures.missed(proxy)) or 'none'}."
    if idle:
        yield f"Idle connections above what they must be: {', '.join(idle)}."


def _write(figures: Figures, text: str, document: dict[str, object]) -> None:
    """Put the figures where the README shows them."""
    report.write_between(report.README, "compare", text)
    CHART.write_text(report.chart(figures))
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    subprocess.run([sys.executable, str(SUMMARY)], check=True)


if __name__ == "__main__":
    sys.exit(main())
