"""The field lines that tell clients what the cache did (RFC 9211, RFC 9111 section 5.1)."""

import re

import pytest

from proxy.caching.outcomes import Forward, Outcome, Reason, bypassed_lines, forwarded_lines, hit_lines
from proxy.telemetry.counters import BYPASS_REASONS, CACHE_OUTCOMES


def test_the_outcomes_are_the_places_in_the_table_of_counters() -> None:
    assert tuple(outcome.name for outcome in Outcome) == CACHE_OUTCOMES
    assert [CACHE_OUTCOMES[outcome] for outcome in Outcome] == [outcome.name for outcome in Outcome]


def test_nearly_every_reason_has_a_counter_of_its_own() -> None:
    without = {reason.value for reason in Reason} - set(BYPASS_REASONS)
    assert without <= {"precondition", "stream"}


def test_rfc9211_2_a_hit() -> None:
    assert hit_lines(1, 2) == b"Age: 1\r\nCache-Status: foregate; hit; ttl=2\r\nX-Cache-Status: HIT\r\n"


def test_rfc9211_2_1_a_stale_answer_without_forwarding_is_a_hit_with_negative_ttl() -> None:
    assert hit_lines(-1, 2) == hit_lines(0, 2)  # stored between a request's beginning and its lookup
    assert hit_lines(9, -6) == b"Age: 9\r\nCache-Status: foregate; hit; ttl=-6\r\nX-Cache-Status: STALE\r\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            forwarded_lines(Outcome.MISS, Forward.URI_MISS, stored=True),
            b"Cache-Status: foregate; fwd=uri-miss; stored\r\nX-Cache-Status: MISS\r\n",
        ),
        (
            forwarded_lines(Outcome.MISS, Forward.VARY_MISS, reason=Reason.SET_COOKIE),
            b"Cache-Status: foregate; fwd=vary-miss; detail=set-cookie\r\nX-Cache-Status: MISS\r\n",
        ),
        (
            forwarded_lines(Outcome.COLLAPSED, Forward.URI_MISS),
            b"Cache-Status: foregate; fwd=uri-miss; collapsed\r\nX-Cache-Status: COLLAPSED\r\n",
        ),
        (
            forwarded_lines(Outcome.REVALIDATED, Forward.STALE, status=304, stored=True),
            b"Cache-Status: foregate; fwd=stale; fwd-status=304; stored\r\nX-Cache-Status: REVALIDATED\r\n",
        ),
        (
            bypassed_lines(Reason.CREDENTIALS),
            b"Cache-Status: foregate; fwd=bypass; detail=credentials\r\nX-Cache-Status: BYPASS\r\n",
        ),
        (
            bypassed_lines(Reason.METHOD),
            b"Cache-Status: foregate; fwd=method; detail=method\r\nX-Cache-Status: BYPASS\r\n",
        ),
    ],
)
def test_rfc9211_2_2_forwarded_requests(lines: bytes, expected: bytes) -> None:
    assert lines == expected


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_a_token_of_structured_fields(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z][a-z-]*", reason.value)
