"""Headers and documents of a CA."""

import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocert.errors import ProblemDocument
from autocert.renewal import Window
from autocert.replies import problem_document, renewal_window, retry_after_seconds

NOW = 1_794_830_400.0  # Mon, 16 Nov 2026 12:00:00 GMT


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    old = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if old is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = old
    time.tzset()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Mon, 16 Nov 2026 12:02:00 GMT", 120.0),
        ("Monday, 16-Nov-26 12:02:00 GMT", 120.0),
        ("Mon Nov 16 12:02:00 2026", 120.0),
        ("Mon, 16 Nov 2026 11:00:00 GMT", 0.0),
        ("999999999999999", 999999999.0),
    ],
)
def test_retry_after_in_both_forms_in_any_zone(zone: str, value: str, seconds: float) -> None:
    assert retry_after_seconds(value, "", NOW) == seconds


def test_a_wrong_clock_here_does_no_harm() -> None:
    value, date = "Mon, 16 Nov 2026 12:02:00 GMT", "Mon, 16 Nov 2026 12:00:00 GMT"
    assert retry_after_seconds(value, date, NOW - 1e9) == 120.0


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "1.5", "١٢", "+5", "Mon, 99 Nov 2026 12:02:00 GMT", "1_0"]
)
def test_nonsense_is_no_retry_after(value: str) -> None:
    assert retry_after_seconds(value, "", NOW) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_breaks_it(value: str, date: str) -> None:
    found = retry_after_seconds(value, date, NOW)
    assert found is None or found >= 0


def test_problem_documents_are_kept_whole() -> None:
    content = {
        "type": "urn:ietf:params:acme:error:compound",
        "detail": "two names failed",
        "subproblems": [
            {"type": "urn:x:caa", "detail": "no", "identifier": {"type": "dns", "value": "a.com"}},
            "junk",
        ],
    }
    found = problem_document(content, 403)
    assert found is not None
    assert (found.code, found.status, found.detail) == ("compound", 403, "two names failed")
    assert found.subproblems == (ProblemDocument("urn:x:caa", "no", 403, "a.com"),)


@pytest.mark.parametrize("content", [None, [], "text", 7, {}, {"status": 400}, {"type": 7}])
def test_what_is_no_problem_document(content: object) -> None:
    assert problem_document(content, 400) is None


def window(start: object, end: object) -> Window | None:
    return renewal_window({"suggestedWindow": {"start": start, "end": end}})


def test_renewal_windows(zone: str) -> None:
    found = Window(NOW, NOW + 60)
    assert window("2026-11-16T12:00:00Z", "2026-11-16T12:01:00Z") == found
    assert window("2026-11-16T14:00:00+02:00", "2026-11-16T12:01:00.000Z") == found


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-16T12:00:00Z", "2026-11-16T12:00:00Z"),
        ("2026-11-16T12:00:01Z", "2026-11-16T12:00:00Z"),
        ("2026-11-16T12:00:00", "2026-11-16T12:01:00"),
        ("soon", "later"),
        (1, 2),
        (None, None),
    ],
)
def test_useless_renewal_windows(start: object, end: object) -> None:
    assert window(start, end) is None


@pytest.mark.parametrize("content", [None, [], {}, {"suggestedWindow": None}, "x"])
def test_what_is_no_renewal_information(content: object) -> None:
    assert renewal_window(content) is None
