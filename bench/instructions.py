"""Count the instructions of the hot path, so that a regression is seen: python -m bench.instructions --help.

A recorded replay runs in one process without sockets (bench/replay.py) under callgrind, N requests and then 2 N; the
difference over N is the figure. It does not depend on the machine's load, and hardly on anything else: the hash seed is
fixed. The figures in instructions.json belong to one version of Python and one architecture.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.processes import BenchError, working_folder
from bench.proxies import program
from bench.replaying import Replaying, replaying
from bench.scenarios import NAMES, about

RECORDED = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02  # runs of the same code differ by less than 0.005
REQUESTS = 1024
TIMED_REQUESTS = 4096
TIMED_RUNS = 15
ANNOTATED_LINES = 60


def build() -> str:
    """Name what figures belong to: the same code costs another number of instructions elsewhere."""
    return f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}"


def recorded(path: Path) -> dict[str, int]:
    """Read the figures of this build; raises BenchError when there are none."""
    figures = json.loads(path.read_text()) if path.exists() else {}
    if build() not in figures:
        raise BenchError(f"{path} has no figures of {build()}; write them with --record")
    return dict(figures[build()])


def record(path: Path, counted: Mapping[str, int]) -> None:
    """Put figures in the place of those of the same scenarios and build."""
    figures = json.loads(path.read_text()) if path.exists() else {}
    figures[build()] = dict(sorted({**figures.get(build(), {}), **counted}.items()))
    path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")


def count(names: Sequence[str], requests: int) -> dict[str, int]:
    """Count instructions per request of each scenario."""
    counted = {}
    for name in names:
        with working_folder() as folder, replaying(name, folder, counted=True) as process:
            process.count(requests)  # what is done only once is done now
            once, twice = process.count(requests), process.count(2 * requests)
            counted[name] = round((twice - once) / requests)
    return counted


def compare(counted: Mapping[str, int], known: Mapping[str, int], tolerance: float) -> list[str]:
    """Print the figures beside those recorded; return the scenarios that cost more than before."""
    worse = []
    print("| scenario | | instructions per request | recorded | |\n|---|---|---|---|---|")
    for name, figure in counted.items():
        before = known.get(name)
        change = "new" if before is None else f"{figure / before - 1:+.1%}"
        print(
            f"| {name} | {about(name)} | {figure:,} | {'' if before is None else f'{before:,}'} | {change} |"
        )
        if before is not None and figure > before * (1 + tolerance):
            worse.append(name)
    return worse


def time(names: Sequence[str], requests: int, runs: int) -> None:
    """Print CPU time per request: the least of many runs, which a busy machine disturbs least, and the median."""
    print("| scenario | | CPU per request, least | median |\n|---|---|---|---|")
    for name in names:
        with working_folder() as folder, replaying(name, folder, counted=False) as process:
            figures = [float(figure) for figure in process.ask(f"time {requests} {runs}").split()]
        print(f"| {name} | {about(name)} | {min(figures):.2f} µs | {median(figures):.2f} µs |", flush=True)


def profile(names: Sequence[str], requests: int, by: str) -> None:
    """Print by function where a scenario's time (cProfile) or its instructions (callgrind, C functions) go."""
    for name in names:
        counted = by == "callgrind"
        with working_folder() as folder, replaying(name, folder, counted=counted) as process:
            print(f"=== {name}: {about(name)}")
            if counted:
                process.count(requests)
                process.count(requests)
                _annotate(process)
            else:
                print(process.ask(f"profile {requests}"))


def _annotate(process: Replaying) -> None:
    command = [program("callgrind_annotate"), "--auto=no", "--threshold=90", str(process.dump)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    print("\n".join(printed.splitlines()[:ANNOTATED_LINES]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, time or profile; exit status 1 when something costs more than recorded, or cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="all without any: " + ", ".join(NAMES))
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="how much more is a regression")
    parser.add_argument("--requests", type=int, help="of a run")
    parser.add_argument(
        "--record", action="store_true", help="write the figures down instead of comparing them"
    )
    parser.add_argument("--time", action="store_true", help="measure CPU time instead")
    parser.add_argument("--runs", type=int, default=TIMED_RUNS, help="with --time")
    parser.add_argument("--profile", choices=("cprofile", "callgrind"), help="show the functions instead")
    options = parser.parse_args(arguments)
    names = tuple(options.scenarios) or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(NAMES)}")
    try:
        if options.time:
            time(names, options.requests or TIMED_REQUESTS, options.runs)
        elif options.profile:
            profile(names, options.requests or TIMED_REQUESTS, options.profile)
        else:
            return _count(names, options)
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    return 0


def _count(names: Sequence[str], options: argparse.Namespace) -> int:
    known = {} if options.record else recorded(RECORDED)
    counted = count(names, options.requests or REQUESTS)
    worse = compare(counted, known, options.tolerance)
    if options.record:
        record(RECORDED, counted)
    if worse:
        print(f"\nmore than {options.tolerance:.0%} above what is recorded: {', '.join(worse)}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
