"""Tables in Markdown, and their place in README.md."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.load import Measurement
from bench.plot import Bar, bars
from bench.processes import BenchError
from bench.rows import Row

REFERENCE = "nginx"
OURS = "foregate"
COMPILED = "compiled"  # Foregate with its hot modules compiled
README = Path(__file__).with_name("README.md")
#: What a hit and a pass-through must cost of Caddy's CPU time.
CADDY_MUST = 0.5
BESIDE_CADDY = ("hit-http", "hit-https", "pass-http", "pass-https")
#: Of which row Caddy's figure stands beside hits: it has no cache.
_WITHOUT_CACHE = {"hit-http": "pass-http", "hit-https": "pass-https"}


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

    @property
    def rate(self) -> float:
        """Requests per second."""
        return median(run.rate for run in self.runs)

    @property
    def errors(self) -> int:
        """Count the requests that went wrong."""
        return sum(run.errors for run in self.runs)

    @property
    def resident(self) -> int:
        """Octets of memory of the proxy's processes at the end."""
        return self.runs[-1].resident

    @property
    def latencies(self) -> tuple[float, float, float]:
        """Microseconds: median, 99th and 99.9th percentile."""
        return (
            median(run.p50 for run in self.runs),
            median(run.p99 for run in self.runs),
            median(run.p999 for run in self.runs),
        )

    def as_json(self) -> dict[str, object]:
        """Shape the cell for the JSON file."""
        p50, p99, p999 = self.latencies
        return {
            "row": self.row.name,
            "proxy": self.proxy,
            "cpu_microseconds_per_request": round(self.cpu, 3),
            "cpu_microseconds_per_request_of_each_round": [
                round(run.cpu_per_request, 3) for run in self.runs
            ],
            "requests_per_second": round(self.rate, 1),
            "requests": sum(run.requests for run in self.runs),
            "errors": self.errors,
            "p50_microseconds": p50,
            "p99_microseconds": p99,
            "p999_microseconds": p999,
            "resident_octets": self.resident,
        }


class Figures:
    """All cells of a run, by row and proxy."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells
        self.rows = list(dict.fromkeys(cell.row for cell in cells))
        self.proxies = list(dict.fromkeys(cell.proxy for cell in cells))
        self._by_name = {(cell.row.name, cell.proxy): cell for cell in cells}

    def cell(self, row: str, proxy: str) -> Cell | None:
        """Find a cell."""
        return self._by_name.get((row, proxy))

    def ratio(self, row: Row, to: str = REFERENCE, of: str = OURS) -> float | None:
        """Divide Foregate's CPU time by another's in the same row; None without one of the two."""
        ours = self.cell(row.name, of)
        other = self.cell(row.name, to) or self.cell(_WITHOUT_CACHE.get(row.name, ""), to)
        return ours.cpu / other.cpu if ours is not None and other is not None and other.cpu else None

    def missed(self, of: str = OURS) -> list[str]:
        """Name the rows in which Foregate needs more than it must."""
        to_nginx = [
            row.name
            for row in self.rows
            if row.must is not None and (ratio := self.ratio(row, of=of)) is not None and ratio > row.must
        ]
        to_caddy = [
            f"{row.name} beside Caddy"
            for row in self.rows
            if row.name in BESIDE_CADDY and (self.ratio(row, "caddy", of) or 0.0) > CADDY_MUST
        ]
        return to_nginx + to_caddy


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
        "load before": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
    }


def ratios(figures: Figures) -> str:
    """Lay out CPU time per request: a line for each row, with Foregate's ratio to nginx's."""
    ours = [proxy for proxy in (OURS, COMPILED) if proxy in figures.proxies]
    others = [proxy for proxy in figures.proxies if proxy not in (REFERENCE, *ours)]
    header = ["work", REFERENCE, *(name for proxy in ours for name in (proxy, "x nginx")), "must", "aim"]
    header += [*others, "x caddy"]
    lines = [_row(header), _row(["---"] * len(header))]
    for row in figures.rows:
        to_caddy = figures.ratio(row, "caddy")
        columns = [row.title, _cpu(figures.cell(row.name, REFERENCE))]
        for proxy in ours:
            ratio = figures.ratio(row, of=proxy)
            columns += [_cpu(figures.cell(row.name, proxy)), f"**{ratio:.2f}**" if ratio else ""]
        columns += [
            f"≤ {row.must}" if row.must else "",
            f"≤ {row.aim}" if row.aim else "",
            *(_cpu(figures.cell(row.name, proxy)) for proxy in others),
            f"{to_caddy:.2f}" if to_caddy else "",
        ]
        lines.append(_row(columns))
    return "\n".join(lines)


def details(figures: Figures) -> str:
    """Lay out throughput, latencies, memory and errors of each cell."""
    header = ["work", "proxy", "requests/s", "p50 / p99 / p99.9", "memory", "errors"]
    lines = [_row(header), _row(["---"] * len(header))]
    for cell in figures.cells:
        latencies = " / ".join(microseconds(figure) for figure in cell.latencies)
        memory = f"{cell.resident / 2**20:.0f} MB"
        lines.append(
            _row([cell.row.title, cell.proxy, f"{cell.rate:.0f}", latencies, memory, str(cell.errors)])
        )
    return "\n".join(lines)


def chart(figures: Figures) -> str:
    """Draw Foregate's CPU time as a ratio to nginx's, with the others as dots."""
    drawn = []
    for row in figures.rows:
        base, ratio = figures.cell(row.name, REFERENCE), figures.ratio(row)
        if base is None or ratio is None:
            continue
        others = [cell for cell in figures.cells if cell.row is row and cell.proxy not in (REFERENCE, OURS)]
        drawn.append(Bar(row.title, ratio, {cell.proxy: cell.cpu / base.cpu for cell in others}, row.must))
    return bars("CPU time per request: Foregate (bars) and others (dots) as multiples of nginx's", drawn)


def _row(columns: Sequence[str]) -> str:
    return "| " + " | ".join(columns) + " |"


def _cpu(cell: Cell | None) -> str:
    return microseconds(cell.cpu) if cell is not None else ""


def microseconds(value: float) -> str:
    """Write a time given in microseconds."""
    return f"{value:.1f} µs" if value < 1000 else f"{value / 1000:.2f} ms"


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of this name; raises BenchError where there are none."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, found_begin, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise BenchError(f"{path} has no markers {begin.strip()} and {end.strip()}")
    path.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}")
