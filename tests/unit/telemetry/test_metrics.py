"""What a scrape shows: every figure under its name, and exactly what docs/metrics.md lists."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from proxy import errors
from proxy.caching.outcomes import Outcome, Reason
from proxy.supervisor.worker_process import ExitReason, WorkerState
from proxy.telemetry import counters
from proxy.telemetry.build import Build
from proxy.telemetry.counters import COUNTERS_SIZE, PROCESS_WORDS, SITE_WORDS, WorkerCounters
from proxy.telemetry.metric_names import METRICS
from proxy.telemetry.metrics import Observation, WorkerObservation, render
from proxy.telemetry.totals import NO_SITE_LABEL, Totals

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
BUILD = Build(
    version="1.2.3", form="compiled", python="3.11.0", openssl="3.0.1", uvloop="0.22", platform="Linux"
)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def observation(totals: Totals) -> Observation:
    return Observation(
        totals=totals,
        build=BUILD,
        started=1000.5,
        ready=True,
        workers=(WorkerObservation(slot=0, started=1001.0, resident_bytes=4096, connections=3),),
        worker_states={"starting": 0, "serving": 1, "draining": 2},
        worker_exits={"drained": 1, "crashed": 4},
        supervisor_resident_bytes=8192,
        cpu_seconds={"supervisor": 1.5, "workers": 20.25},
        reloads={"accepted": 2, "refused": 1},
        last_reload_successful=False,
        last_reload_success=1500.0,
    )


@pytest.fixture
def busy() -> Observation:
    """Return an observation in which every word of one site and of the process holds another figure."""
    return observation(
        Totals(
            process=range(PROCESS_WORDS),
            sites={"a.test": range(1, SITE_WORDS + 1), NO_SITE_LABEL: [0] * SITE_WORDS},
        )
    )


def samples(shown: Observation) -> Samples:
    content, media_type = render(shown, "")
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def test_requests_show_only_what_has_happened() -> None:
    words = memoryview(bytearray(COUNTERS_SIZE)).cast("Q")
    WorkerCounters(words).site(0).request(200, Outcome.HIT, 30_000_000, 100, 900)
    WorkerCounters(words).site(0).request(999, Outcome.NONE, 1_000_000, 1, 1)
    site = words[PROCESS_WORDS : PROCESS_WORDS + SITE_WORDS].tolist()
    shown = samples(observation(Totals(process=[0] * PROCESS_WORDS, sites={"a.test": site})))
    requests = {key: value for key, value in shown.items() if key[0] == "foregate_requests_total"}
    assert requests == {
        ("foregate_requests_total", labels(site="a.test", code="200", cache="HIT")): 1,
        ("foregate_requests_total", labels(site="a.test", code="other", cache="NONE")): 1,
    }
    name = "foregate_request_duration_seconds"
    assert shown[f"{name}_bucket", labels(site="a.test", le="0.025")] == 1
    assert shown[f"{name}_bucket", labels(site="a.test", le="0.05")] == 2
    assert shown[f"{name}_bucket", labels(site="a.test", le="+Inf")] == 2
    assert shown[f"{name}_count", labels(site="a.test")] == 2
    assert shown[f"{name}_sum", labels(site="a.test")] == pytest.approx(0.031)
    assert shown["foregate_received_bytes_total", labels(site="a.test")] == 101
    assert shown["foregate_sent_bytes_total", labels(site="a.test")] == 901


def test_the_figures_of_process_and_supervisor(busy: Observation) -> None:
    shown = samples(busy)
    told = {"version": "1.2.3", "python": "3.11.0", "openssl": "3.0.1", "uvloop": "0.22", "form": "compiled"}
    assert shown["foregate_build_info", labels(**told)] == 1
    assert shown["foregate_workers", labels(state="draining")] == 2
    assert shown["foregate_worker_exits_total", labels(reason="crashed")] == 4
    assert shown["foregate_resident_memory_bytes", labels(process="supervisor")] == 8192
    assert shown["foregate_resident_memory_bytes", labels(process="worker-0")] == 4096
    assert shown["foregate_cpu_seconds_total", labels(process="workers")] == 20.25
    assert shown["foregate_config_last_reload_successful", ()] == 0
    opened, closed = counters.HTTPS_OPENED, counters.HTTPS_CLOSED
    assert shown["foregate_connections_accepted_total", labels(scheme="https")] == opened
    assert shown["foregate_connections_active", labels(scheme="https")] == opened - closed
    kind = counters.PARSE_ERROR_KINDS[3]
    assert shown["foregate_parse_errors_total", labels(kind=kind)] == counters.FIRST_PARSE_ERROR + 3


def test_openmetrics_for_a_scraper_that_asks_for_it(busy: Observation) -> None:
    content, media_type = render(busy, "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    families = openmetrics.text_string_to_metric_families(content.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}  # the library's parser has no types
    assert names == {metric.name.removesuffix("_total") for metric in METRICS}


def test_prometheus_finds_nothing_to_criticise(busy: Observation) -> None:
    content, _ = render(busy, "")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=content, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_page_lists_exactly_what_is_rendered(busy: Observation) -> None:
    rows = re.findall(
        r"^\| `(foregate_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE
    )
    listed = {
        (name, kind, tuple(re.findall(r"`(\w+)`", names)), meaning) for name, kind, names, meaning in rows
    }
    assert listed == {(m.name, m.kind, m.labels, m.meaning) for m in METRICS}
    assert len(rows) == len(METRICS)
    rendered = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in text_string_to_metric_families(render(busy, "")[0].decode())
    }
    assert rendered == {(metric.name, metric.kind) for metric in METRICS}


def test_the_page_lists_every_value_of_a_label() -> None:
    text = PAGE.read_text()
    for value in (
        *counters.STATUS_LABELS,
        *counters.CACHE_OUTCOMES,
        *counters.BYPASS_REASONS,
        *counters.UPSTREAM_ERRORS,
        *counters.PARSE_ERROR_KINDS,
        *counters.HANDSHAKE_FAILURES,
        *(reason.value for reason in ExitReason),
        *(state.value for state in WorkerState),
    ):
        assert f"`{value}`" in text


def test_rendered_labels_are_those_of_the_table(busy: Observation) -> None:
    table = {metric.name.removesuffix("_total"): set(metric.labels) for metric in METRICS}
    for family in text_string_to_metric_families(render(busy, "")[0].decode()):
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == table[family.name], sample


def test_what_others_count_has_a_name_here() -> None:
    assert tuple(outcome.name for outcome in Outcome) == counters.CACHE_OUTCOMES
    assert {reason.value for reason in Reason} | {"other"} == set(counters.BYPASS_REASONS)
    leaves = errors.GatewayError.__subclasses__()
    assert {leaf.kind for leaf in leaves} <= set(counters.UPSTREAM_ERRORS)
