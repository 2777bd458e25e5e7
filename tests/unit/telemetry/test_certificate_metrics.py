"""What a scrape shows of certificates: dates where there are any, the state, and what is wrong."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.metrics import CertificateObservation, render
from tests.fakes.observations import quiet_observation


def test_certificates() -> None:
    good = CertificateObservation(
        name="a.test", state="valid", not_before=1000.0, not_after=5000.0, next_attempt=3000.0
    )
    missing = CertificateObservation(name="b.test", state="backoff", next_attempt=60.0, reason="no-address")
    storage = CertificateObservation(name="-", reason="storage-full")
    shown = replace(
        quiet_observation(),
        certificates=(good, missing, storage),
        certificate_failures={("b.test", "no-address"): 7},
    )
    content, _ = render(shown, "")
    samples = {
        (sample.name.removeprefix("foregate_certificate_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
        if sample.name.startswith("foregate_certificate_")
    }
    assert samples == {
        ("not_before_seconds", "a.test"): 1000.0,
        ("not_after_seconds", "a.test"): 5000.0,
        ("next_attempt_seconds", "a.test"): 3000.0,
        ("next_attempt_seconds", "b.test"): 60.0,
        ("state", "a.test", "valid"): 1.0,
        ("state", "b.test", "backoff"): 1.0,
        ("last_problem", "b.test", "no-address"): 1.0,
        ("last_problem", "-", "storage-full"): 1.0,
        ("failures_total", "b.test", "no-address"): 7.0,
    }
