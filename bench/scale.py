"""Show that the cost of a request stays flat as everything around it grows: python -m bench.scale --help.

Each curve is measured in this process, without sockets (bench/replay.py): CPU time per request, the least of several
runs. The exponent tells how it grows from the first to the last point: 0 is flat, 1 would be linear; a logarithm over
these sizes stays below 0.15.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import compare, report
from bench.connections import most
from bench.plot import curves
from bench.processes import BenchError, raise_descriptor_limit, working_folder
from bench.proxies import chosen_kinds
from bench.replay import Worker
from bench.rows import chosen_rows
from bench.scenarios import CONNECTIONS, Scenario, Traffic

MAX_EXPONENT = 0.15
REQUESTS = 4096
RUNS = 9
FIGURES = Path(__file__).with_name("figures")
THROUGHPUT_ROWS = "hit-http,hit-http-two,pass-http,pass-http-two,limited-http,limited-http-two"

_UPSTREAM = 'upstream = "http://127.0.0.1:9"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyHosts(Scenario):
    """Requests for one site after the other."""

    sites: int = 1

    def request(self, number: int) -> bytes:
        """Write the request with this number."""
        host = b"Host: site%d.test\r\n" % (number % self.sites)
        return super(ManyHosts, self).request(number).replace(b"Host: localhost\r\n", host)


@dataclass(frozen=True, slots=True)
class Point:
    """One size: what is replayed, over how many connections."""

    size: int
    scenario: Scenario
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Curve:
    """One thing that grows."""

    name: str
    about: str
    sizes: tuple[int, ...]
    point: Callable[[int], Point]


@dataclass(frozen=True, slots=True)
class Measured:
    """A curve's figures: sizes and microseconds per request."""

    name: str
    about: str
    points: tuple[tuple[int, float], ...]

    @property
    def exponent(self) -> float:
        """Tell how fast the cost grows: 0 is flat, 1 linear."""
        (first, cost), (last, final) = self.points[0], self.points[-1]
        return math.log(final / cost) / math.log(last / first)


def _connections(size: int) -> Point:
    return Point(size, Scenario(name="hit", about="", cache="HIT"), size)


def _entries(size: int) -> Point:
    return Point(size, Scenario(name="hit", about="", cache="HIT", targets=size))


def _sites(size: int) -> Point:
    text = "".join(f'\n[[site]]\ndomains = ["site{number}.test"]\n{_UPSTREAM}' for number in range(size))
    return Point(size, ManyHosts(name="sites", about="", cache="HIT", site=text, sites=size, targets=size))


def _routes(size: int) -> Point:
    text = "".join(f'\n[[site.route]]\npath = "/small/{number}"\n{_UPSTREAM}' for number in range(size))
    scenario = Scenario(name="routes", about="", cache="HIT", site=text, targets=max(2, size))
    return Point(size, scenario)


def _rules(size: int) -> Point:
    networks = ", ".join(f'"10.{number >> 8}.{number & 255}.0/25"' for number in range(size))
    site = f"firewall = {{ deny = [{networks}] }}"
    return Point(size, Scenario(name="rules", about="", cache="HIT", site=site))


CURVES = (
    Curve("connections", "hits over so many open connections", (10, 100, 1000, 10_000), _connections),
    Curve("entries", "hits among so many stored responses", (10, 100, 1000, 10_000, 100_000), _entries),
    Curve("sites", "hits on so many sites in turn", (1, 10, 100, 1000), _sites),
    Curve("routes", "hits on so many routes in turn", (1, 10, 100, 1000), _routes),
    Curve("rules", "hits past so many firewall rules", (1, 10, 100, 1000, 10_000), _rules),
)


def cost(point: Point, requests: int, runs: int) -> float:
    """Measure CPU time per request, in microseconds: the least of several runs."""
    found = []
    with working_folder() as folder, Worker(folder, point.scenario.site) as worker:
        traffic = Traffic(worker, point.scenario, connections=point.connections)
        worker.run(traffic.start())
        for _ in range(runs):
            work = traffic.prepare(requests)
            before = time.process_time()
            worker.run(traffic.run(work))
            found.append((time.process_time() - before) / requests * 1e6)
    return min(found)


def measure(curve: Curve, requests: int, runs: int) -> Measured:
    """Measure every point of a curve."""
    points = []
    for size in curve.sizes:
        # A worker keeps only as many connections as its descriptors allow.
        size = min(size, most()) if curve.name == "connections" else size
        points.append((size, cost(curve.point(size), requests, runs)))
        print(f"  {curve.name} {size:,}: {points[-1][1]:.2f} µs", file=sys.stderr)
    return Measured(curve.name, curve.about, tuple(points))


def table(measured: Sequence[Measured]) -> str:
    """Lay the curves out, one a line."""
    lines = ["| what grows | CPU time per request at each size | exponent |", "|---|---|---|"]
    for curve in measured:
        points = ", ".join(f"{size:,}: {figure:.1f} µs" for size, figure in curve.points)
        lines.append(f"| {curve.about} | {points} | {curve.exponent:+.2f} |")
    return "\n".join(lines)


def plot(measured: Sequence[Measured]) -> str:
    """Draw the curves."""
    series = {curve.name: curve.points for curve in measured}
    title = "CPU time per request as everything around it grows"
    return curves(title, series, x_label="how many", y_label="µs per request")


def throughput(seconds: float, python: str) -> str:
    """Measure what one and two workers serve, through sockets, with load generator and origin on the same cores."""
    figures = report.Figures(
        compare.run(chosen_rows(THROUGHPUT_ROWS), chosen_kinds("nginx,foregate", python), 2, seconds)
    )
    lines = [
        "| work | proxy | one worker | two | times | CPU per request, one | two |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in figures.rows:
        for proxy in figures.proxies:
            one, two = figures.cell(row.name, proxy), figures.cell(f"{row.name}-two", proxy)
            if one is not None and two is not None:
                costs = f"{report.microseconds(one.cpu)} | {report.microseconds(two.cpu)}"
                times = f"{one.rate:.0f}/s | {two.rate:.0f}/s | {two.rate / one.rate:.2f}"
                lines.append(f"| {row.title} | {proxy} | {times} | {costs} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 when a curve grows faster than a logarithm, or cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("curves", nargs="*", help="all without any: " + ", ".join(c.name for c in CURVES))
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of a run")
    parser.add_argument("--runs", type=int, default=RUNS, help="of which the least counts")
    parser.add_argument("--workers", action="store_true", help="throughput with one and two workers as well")
    parser.add_argument("--write", action="store_true", help="into README.md and figures/")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    chosen = [curve for curve in CURVES if not options.curves or curve.name in options.curves]
    if unknown := set(options.curves) - {curve.name for curve in CURVES}:
        parser.error(f"no curve {', '.join(sorted(unknown))}")
    raise_descriptor_limit()
    try:
        about = report.machine()
        measured = [measure(curve, options.requests, options.runs) for curve in chosen]
        text = table(measured)
        if options.workers:
            text += "\n\n" + throughput(2.0, "")
        if options.write:
            when = ", ".join(f"{name} {value}" for name, value in about.items())
            image = "![CPU time per request as everything grows](figures/scale.svg)"
            report.write_between(report.README, "scale", f"{when}\n\n{text}\n\n{image}")
            (FIGURES / "scale.svg").write_text(plot(measured))
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(json.dumps({curve.name: curve.points for curve in measured}) if options.json else text)
    steep = [curve.name for curve in measured if curve.exponent > MAX_EXPONENT]
    if steep:
        print("\ngrows too fast: " + ", ".join(steep))
    return 1 if steep else 0


if __name__ == "__main__":
    sys.exit(main())
