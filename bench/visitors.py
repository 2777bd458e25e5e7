"""Let visitors come, and show limiter and cache at work: python -m bench.visitors --help.

Locust plays readers of a page with 40 assets, users who are logged in, an API client and a flood (locustfile.py), all
in front of one Foregate with its default limit and cache. The Prometheus counters are read before and after.
"""

from __future__ import annotations

import argparse
import getpass
import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench import report
from bench.interpreter import interpreter
from bench.processes import BenchError, cpu_seconds, free_ports, running, working_folder
from bench.proxies import program, render
from bench.rows import SMALL_BODY

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
#: How X-Cache-Status says that the app was not asked.
FROM_CACHE = ("HIT", "STALE", "COLLAPSED")


@dataclass(frozen=True, slots=True)
class Counters:
    """What Foregate has counted: requests by cache outcome and by status, those over the limit, failed fetches."""

    by_cache: Mapping[str, float]
    by_code: Mapping[str, float]
    limited: float
    upstream_errors: float

    @classmethod
    def of(cls, page: str) -> Counters:
        """Read a page of metrics."""
        by_cache: dict[str, float] = {}
        by_code: dict[str, float] = {}
        sums = {"foregate_limited_requests_total": 0.0, "foregate_upstream_errors_total": 0.0}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == "foregate_requests_total":
                    _add(by_cache, sample.labels["cache"] or "none", sample.value)
                    _add(by_code, sample.labels["code"], sample.value)
                elif sample.name in sums:
                    _add(sums, sample.name, sample.value)
        return cls(by_cache, by_code, *sums.values())

    def since(self, before: Counters) -> Counters:
        """Subtract what had been counted before."""
        return Counters(
            _difference(self.by_cache, before.by_cache),
            _difference(self.by_code, before.by_code),
            self.limited - before.limited,
            self.upstream_errors - before.upstream_errors,
        )


def _add(sums: dict[str, float], name: str, value: float) -> None:
    sums[name] = sums.get(name, 0.0) + value


def _difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: grown for name, count in after.items() if (grown := count - before.get(name, 0.0))}


@dataclass(frozen=True, slots=True)
class Kind:
    """What locust saw of one kind of request; latencies in milliseconds."""

    name: str
    requests: int
    failures: int
    p50: float
    p95: float

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Kind:
        """Read an entry of locust's statistics."""
        times = sorted((float(time), count) for time, count in entry["response_times"].items())
        return cls(
            entry["name"],
            entry["num_requests"],
            entry["num_failures"],
            _share(times, 0.5),
            _share(times, 0.95),
        )


def _share(times: Sequence[tuple[float, int]], share: float) -> float:
    """Return the time within which this share of a histogram's requests was answered."""
    left = sum(count for _, count in times) * share
    for time, count in times:
        left -= count
        if left <= 0:
            return time
    return 0.0


def _metrics(port: int) -> Counters:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return Counters.of(answer.read().decode())


def _locust(host: str, users: int, seconds: int) -> list[Kind]:
    """Run locust without a window; raises BenchError when it is missing or fails."""
    if find_spec("locust") is None:
        raise BenchError("locust is not installed; pip install -r requirements-bench.lock")
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", host]
    command += ["-u", str(users), "-r", str(users), "-t", f"{seconds}s", "--json", "--skip-log"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    begin = result.stdout.find("[\n")
    if begin < 0:
        raise BenchError(f"locust failed: {result.stdout}{result.stderr}")
    return [Kind.of(entry) for entry in json.loads(result.stdout[begin:])]


def visit(users: int, seconds: int, workers: int) -> tuple[list[Kind], Counters, float]:
    """Run everything; return what locust saw, what Foregate counted, and the CPU seconds that it used."""
    ports = dict(zip(("HTTP", "METRICS", "ORIGIN"), free_ports(3), strict=True))
    with working_folder() as folder, ExitStack() as stack:
        values = {name: str(port) for name, port in ports.items()}
        values |= {"FOLDER": str(folder), "USER": getpass.getuser(), "WORKERS": str(workers)}
        values |= {"SMALL": "x" * SMALL_BODY}
        app = render("visitors.conf", folder / "visitors.conf", values)
        command = [program("nginx"), "-c", str(app), "-p", str(folder), "-e", "stderr"]
        origin = stack.enter_context(running("origin", command, folder))
        origin.wait_until_listening(ports["ORIGIN"])
        python = interpreter()
        config = render("visitors.toml", folder / "proxy.toml", values)
        command = [*python.command("proxy"), "run", "-c", str(config)]
        proxy = stack.enter_context(running("foregate", command, folder, python.environment))
        proxy.wait_until_listening(ports["HTTP"])
        before, used = _metrics(ports["METRICS"]), cpu_seconds(proxy.pid)
        seen = _locust(f"http://localhost:{ports['HTTP']}", users, seconds)
        return seen, _metrics(ports["METRICS"]).since(before), cpu_seconds(proxy.pid) - used


def summary(seen: Sequence[Kind], counted: Counters, cpu: float) -> str:
    """Tell what the visitors saw, and what Foregate kept from the app."""
    lines = ["| request | number | failed | p50 / p95 |", "|---|---|---|---|"]
    for kind in seen:
        lines.append(
            f"| {kind.name} | {kind.requests} | {kind.failures} | {kind.p50:.0f} / {kind.p95:.0f} ms |"
        )
    total = sum(counted.by_cache.values())
    kept = sum(counted.by_cache.get(name, 0.0) for name in FROM_CACHE)
    asked = total - counted.limited - kept
    outcomes = ", ".join(f"{name} {count:.0f}" for name, count in sorted(counted.by_cache.items()))
    codes = ", ".join(f"{name} {count:.0f}" for name, count in sorted(counted.by_code.items()))
    return "\n".join(
        (
            *lines,
            "",
            f"Foregate counted {total:.0f} requests ({codes}): {counted.limited:.0f} were over the limit "
            f"({share(counted.limited, total)}), {kept:.0f} were answered from the cache "
            f"({share(kept, total - counted.limited)} of the rest), {asked:.0f} reached the app "
            f"({share(asked, total)} of all). By cache: {outcomes}. Failed fetches: {counted.upstream_errors:.0f}. "
            f"CPU time: {cpu:.1f} s, {cpu / max(1.0, total) * 1e6:.0f} µs per request.",
        )
    )


def share(part: float, whole: float) -> str:
    """Write a share in percent."""
    return f"{part / whole:.0%}" if whole else "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; exit status 1 when a visitor was answered badly, or something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.visitors", description=__doc__)
    parser.add_argument("--users", type=int, default=62, help="two of them are the flood")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="into README.md")
    options = parser.parse_args(arguments)
    try:
        about = report.machine()
        seen, counted, cpu = visit(options.users, options.seconds, options.workers)
        text = summary(seen, counted, cpu)
        if options.write:
            when = ", ".join(f"{name} {value}" for name, value in about.items())
            setting = f"{options.users} users for {options.seconds} s"
            report.write_between(report.README, "visitors", f"{when}; {setting}.\n\n{text}")
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(text)
    return 1 if any(kind.failures for kind in seen) or counted.upstream_errors else 0


if __name__ == "__main__":
    sys.exit(main())
