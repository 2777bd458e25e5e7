"""Problems: one line for each change, counted by name and reason, forgotten when they are solved."""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from autocert.problem import Kind, problem
from proxy.supervisor.certificate_problems import CertificateProblem, CertificateProblems, translated

NO_ADDRESS = CertificateProblem(
    reason="no-address", what_is_wrong="a.test has no address.", what_to_do="Add one.", next_attempt=3600.0
)
Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return a function that gives the fields of what was logged until now."""
    caplog.set_level(logging.DEBUG, "foregate.certificates")
    return lambda: [record.__dict__["fields"] for record in caplog.records]


def test_both_sentences_are_logged_once_as_long_as_nothing_changes(lines: Lines) -> None:
    problems = CertificateProblems()
    for attempt in range(3):
        problems.report("a.test", replace(NO_ADDRESS, next_attempt=3600.0 * attempt))
    (line,) = lines()
    assert line["name"] == "a.test"
    assert line["reason"] == "no-address"
    assert line["problem"] == "a.test has no address. Add one."
    problems.report("a.test", replace(NO_ADDRESS, reason="caa-forbids", what_is_wrong="CAA forbids it."))
    problems.report("a.test", NO_ADDRESS)
    assert [line["reason"] for line in lines()] == ["no-address", "caa-forbids", "no-address"]
    assert lines()[2]["next_attempt"] == "1970-01-01T01:00:00Z"
    assert problems.failures == {("a.test", "no-address"): 4, ("a.test", "caa-forbids"): 1}


def test_what_is_solved_and_comes_back_is_news(lines: Lines) -> None:
    problems = CertificateProblems()
    problems.report("a.test", NO_ADDRESS)
    problems.solved("a.test")
    assert problems.latest("a.test") is None
    problems.report("a.test", NO_ADDRESS)
    assert len(lines()) == 2


def test_events_are_told_each_time_and_hide_no_problem(lines: Lines) -> None:
    problems = CertificateProblems()
    problems.report("a.test", NO_ADDRESS)
    for _ in range(2):
        problems.report("a.test", replace(NO_ADDRESS, reason="store-damaged"))
    assert len(lines()) == 3
    assert problems.latest("a.test") == NO_ADDRESS
    assert problems.failures == {("a.test", "no-address"): 1}


def test_a_notice_is_no_failure() -> None:
    problems = CertificateProblems()
    problems.report("a.test", replace(NO_ADDRESS, reason="local-ca"))
    assert not problems.failures


def test_what_concerns_no_name_is_always_told(lines: Lines) -> None:
    problems = CertificateProblems()
    for _ in range(2):
        problems.report("", replace(NO_ADDRESS, reason="storage-full"))
    assert [("name" in line, line["reason"]) for line in lines()] == [(False, "storage-full")] * 2
    assert not problems.failures


def test_names_that_went_are_forgotten_and_not_counted(lines: Lines) -> None:
    wanted = {"a.test", "b.test"}
    problems = CertificateProblems(lambda name: name in wanted)
    problems.report("a.test", NO_ADDRESS)
    problems.report("c.test", NO_ADDRESS)
    assert problems.failures == {("a.test", "no-address"): 1}
    problems.forget_all_but(frozenset(("b.test",)))
    assert problems.latest("a.test") is None
    assert len(lines()) == 2


def test_autocert_s_own_words_are_taken_over() -> None:
    found = problem(Kind.CAA, "a.test", "the detail", where="test", ca="X", identity="x.test").again_at(60.0)
    taken = translated(found)
    assert str(taken) == str(found)
    assert (taken.reason, taken.detail, taken.next_attempt) == ("caa-forbids", "the detail", 60.0)
    assert taken.document()["next_attempt"] == "1970-01-01T00:01:00Z"
