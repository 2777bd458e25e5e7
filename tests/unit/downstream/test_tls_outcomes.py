"""Every end of a handshake is counted by its reason and by its result."""

import pytest

from proxy.downstream.tls_outcomes import HandshakeCounters, HandshakeFailure
from proxy.telemetry import counters
from proxy.telemetry.counters import COUNTERS_SIZE, PROCESS_WORDS, WorkerCounters


@pytest.fixture
def words() -> memoryview:
    return memoryview(bytearray(COUNTERS_SIZE)).cast("Q")


def counted(words: memoryview) -> dict[int, int]:
    return {place: count for place, count in enumerate(words[:PROCESS_WORDS]) if count}


@pytest.mark.parametrize("failure", HandshakeFailure)
def test_a_failure_counts_under_its_reason_and_its_result(
    words: memoryview, failure: HandshakeFailure
) -> None:
    HandshakeCounters(WorkerCounters(words)).handshake_failed(failure)
    reason = counters.FIRST_HANDSHAKE_FAILURE + counters.HANDSHAKE_FAILURES.index(failure.value)
    result = {
        HandshakeFailure.TIMEOUT: counters.HANDSHAKES_TIMED_OUT,
        HandshakeFailure.NAME: counters.HANDSHAKES_NAME_REFUSED,
    }.get(failure, counters.HANDSHAKES_FAILED)
    assert counted(words) == {reason: 1, result: 1}


def test_no_reason_is_without_a_failure() -> None:
    assert {failure.value for failure in HandshakeFailure} == set(counters.HANDSHAKE_FAILURES)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_finished_handshake_is_full_or_resumed(words: memoryview, resumed: bool) -> None:
    observer = HandshakeCounters(WorkerCounters(words))
    observer.handshake_held()
    observer.handshake_done(resumed=resumed)
    assert counted(words) == {counters.HANDSHAKES_RESUMED if resumed else counters.HANDSHAKES_FULL: 1}
