"""One line for each kind of failure and second, and none is forgotten."""

import logging

import pytest

from proxy.telemetry.failure_log import EVERY, FailureLog


def test_a_flood_of_one_kind_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(logging.getLogger("test-failures"))
    with caplog.at_level(logging.WARNING, "test-failures"):
        for number in range(1000):
            log.failed("a.example", "", "refused", "127.0.0.1:1: ECONNREFUSED", number * EVERY / 1000)
        log.failed("a.example", "", "reset", "127.0.0.1:1: closed", 0.5)
        log.failed("a.example", "", "refused", "127.0.0.1:1: ECONNREFUSED", EVERY)
    assert len(caplog.records) == 3
    assert "999" in str(caplog.records[-1].__dict__)
