"""The metrics as Prometheus itself sees them; the examples of alerts and dashboard are tried on them."""

import json
import subprocess
from pathlib import Path

from tests.fakes.foregate import ROOT, configuration
from tests.fakes.origin import Origin
from tests.fakes.prometheus import running_prometheus
from tests.integration.conftest import StartForegate

EXAMPLES = ROOT / "examples"
ALERTS = EXAMPLES / "prometheus" / "alerts.yml"
# Panels whose figures come with the first request, whatever the site does.
ALWAYS = {
    *("Requests per second", "Answers by status", "Duration", "Latency of the apps", "Cache outcomes"),
    *("Octets per second", "Open connections", "Requests over the limit", "TLS handshakes", "Workers"),
    *("Memory", "CPU", "Configuration in use is the file's"),
}


def promtool(*arguments: str, content: bytes = b"") -> None:
    """Run promtool, which must find nothing to complain about."""
    ended = subprocess.run(
        ["promtool", *arguments],
        cwd=ALERTS.parent,
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout.decode()


def panels() -> dict[str, list[str]]:
    """Return the dashboard's queries by panel, for every instance."""
    dashboard = json.loads((EXAMPLES / "grafana" / "foregate.json").read_text())
    return {
        panel["title"]: [
            target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            for target in panel["targets"]
        ]
        for panel in dashboard["panels"]
    }


def test_the_alert_rules_do_what_they_say() -> None:
    promtool("test", "rules", "alerts_test.yml")
    promtool("check", "config", "prometheus.yml")


def test_prometheus_scrapes_and_every_query_of_the_dashboard_works(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    assert gate.get("/")[0] == 200
    gate.wait_metric(1, "foregate_requests_total", site="*", code="200", cache="MISS")
    promtool("check", "metrics", content=gate.get("/metrics", "metrics")[1])
    host, port = gate.address("metrics")
    with running_prometheus(tmp_path, f"{host}:{port}", ALERTS) as prometheus:
        prometheus.wait('rate(foregate_requests_total{site="*"}[1m])')
        for title, queries in panels().items():
            found = [one for query in queries for one in prometheus.series(query)]
            if title in ALWAYS and not found:  # the latest scrape took too long
                prometheus.wait(" or ".join(queries))
        rules = prometheus.ask("rules")["groups"][0]["rules"]
        assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
        prometheus.wait("up == 1")
