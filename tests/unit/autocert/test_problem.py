"""Every problem has its two plain sentences, for every name."""

import re

import pytest

from autocert.problem import SENTENCES, Kind, Problem, problem


def test_every_kind_has_sentences() -> None:
    assert set(SENTENCES) == set(Kind)
    assert len({kind.value for kind in Kind}) == len(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_both_are_plain_sentences_without_blanks_left(kind: Kind) -> None:
    found = problem(kind, "www.example.com")
    for sentence in (found.what_is_wrong, found.what_to_do):
        assert re.fullmatch(r"\S.*\.", sentence), sentence
        assert "{" not in sentence
        assert "  " not in sentence
    assert re.fullmatch(r"[a-z0-9-]+", kind.value)


def test_names_cannot_break_a_sentence() -> None:
    assert "{address}" in problem(Kind.PORT_CLOSED, "{address}").what_is_wrong


def test_details_are_one_short_line() -> None:
    found = problem(Kind.REFUSED, "a", "one\r\n two\t" + "x" * 5000)
    assert found.detail.startswith("one two x")
    assert len(found.detail) == 1000


def test_the_next_attempt_is_added() -> None:
    found = problem(Kind.CA_DOWN, "a").again_at(7.0)
    assert found.next_attempt == 7.0
    assert isinstance(found, Problem)
    assert str(found) == f"{found.what_is_wrong} {found.what_to_do}"
