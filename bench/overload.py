"""Offer half, all and twice of what a proxy can take: python -m bench.overload --help.

The capacity is measured first, by the same load generator without a pace. Then many connections together keep a pace;
each waits for its answer, so what cannot be served in time is offered later, and its wait counts as latency. The load
generator has a core of its own, since on a shared one it would be held up by the very overload that it makes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import h2load
from bench.h2load import Answers, percentile
from bench.load import probe
from bench.processes import BenchError, working_folder
from bench.proxies import Kind, Proxy, chosen_kinds, running_origin, running_proxy
from bench.report import microseconds
from bench.rows import HOST, chosen_rows

ROW = "pass-http"
CONNECTIONS = 200
CAPACITY_CONNECTIONS = 32
LOADS = (0.5, 1.0, 2.0)
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Step:
    """What one proxy did under one load; rates per second, latencies in microseconds."""

    proxy: str
    load: float
    capacity: float
    goodput: float
    p50: int
    p99: int
    errors: int


@contextlib.contextmanager
def pinned(*, last: bool) -> Iterator[None]:
    """Let what is started meanwhile run on the last core alone, or on all others; a single core is shared."""
    before = os.sched_getaffinity(0)
    wanted = CORES[-1:] if last else CORES[:-1]
    os.sched_setaffinity(0, wanted or CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drive(proxy: Proxy, seconds: float, connections: int, pace: float = 0.0) -> Answers:
    url = f"http://{HOST}:{proxy.ports['http']}/small"
    folder = proxy.server.folder
    with pinned(last=True):
        return h2load.run(url, connections=connections, seconds=seconds, folder=folder, pace=pace)


def measure(kind: Kind, seconds: float, folder: Path, origin: int) -> list[Step]:
    """Measure one proxy under every load."""
    row = chosen_rows(ROW)[0]
    with running_proxy(kind, row.site, folder, origin) as proxy:
        probe(proxy, row)
        capacity = _drive(proxy, seconds, CAPACITY_CONNECTIONS).good / seconds
        steps = []
        for load in LOADS:
            answers = _drive(proxy, seconds, CONNECTIONS, capacity * load)
            bad = sum(answers.statuses.values()) - answers.good + answers.unanswered
            p50, p99 = percentile(answers.latencies, 0.5), percentile(answers.latencies, 0.99)
            steps.append(Step(kind.name, load, capacity, answers.good / seconds, p50, p99, bad))
            print(f"  overload {steps[-1]}", file=sys.stderr)
        return steps


def run(kinds: Sequence[Kind], seconds: float) -> list[Step]:
    """Measure all proxies."""
    with working_folder() as folder, pinned(last=False), running_origin(folder) as origin:
        return [step for kind in kinds for step in measure(kind, seconds, folder, origin)]


def table(steps: Sequence[Step]) -> str:
    """Lay the steps out."""
    lines = [
        "| proxy | offered, of its capacity | capacity | answered well | of capacity | p50 / p99 | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for step in steps:
        lines.append(
            f"| {step.proxy} | {step.load:g} | {step.capacity:.0f}/s | {step.goodput:.0f}/s "
            f"| {step.goodput / step.capacity:.0%} | {microseconds(step.p50)} / {microseconds(step.p99)} "
            f"| {step.errors} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 when something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--proxies", default="nginx,foregate", help="comma-separated")
    parser.add_argument("--python", default="", help="what Foregate runs under")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        steps = run(chosen_kinds(options.proxies, options.python), options.seconds)
    except ValueError as exc:
        parser.error(str(exc))
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(step) for step in steps]) if options.json else table(steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
