"""RFC 9111, black-box: what is stored of a response, how its age and lifetime are found, and how it is validated.

Answers that are to be validated are stale from the beginning, and kept for `stale-if-error`; so no test waits.
"""

import pytest

from tests.fakes.cache_pair import Fields, Pair, http_date

STALE = ("Cache-Control", "max-age=0, stale-if-error=600")


# --- what is stored


def test_section_3_1_fields_are_stored_but_those_of_the_connection(pair: Pair) -> None:
    pair.fields = [
        *(
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
        ),
        *(("X-Twice", "1"), ("X-Twice", "2"), ("X-New", "kept"), ("Content-Language", "de")),
    ]
    pair.ask()
    got = pair.ask()
    assert got.outcome == "HIT"
    assert (got.all("X-Twice"), got.one("X-New"), got.one("Content-Language")) == (["1", "2"], "kept", "de")
    assert [got.all(name) for name in ("X-Hop", "Keep-Alive", "Connection")] == [[], [], []]


def test_section_3_content_of_unknown_length_is_stored_when_it_is_whole(pair: Pair) -> None:
    pair.chunked = True
    assert pair.ask().all("Content-Length") in ([], ["8"])
    got = pair.ask()
    assert (got.outcome, got.content, got.one("Content-Length")) == ("HIT", b"answer 1", "8")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_section_3_4_no_part_is_stored_or_combined(pair: Pair, method: str) -> None:
    pair.status, pair.fields = 206, [("Content-Range", "bytes 0-7/100"), ("Cache-Control", "max-age=60")]
    pair.ask(method, Range="bytes=0-7")
    pair.status, pair.fields = 200, []
    assert pair.ask().outcome == "MISS"


# --- age and lifetime


@pytest.mark.parametrize(
    ("fields", "is_fresh"),
    [
        ([("Cache-Control", "s-maxage=60, max-age=0"), ("Expires", "0")], True),
        ([("Cache-Control", "s-maxage=0, max-age=60")], False),
        ([("Cache-Control", "max-age=0"), ("Expires", http_date(60))], False),
        ([("Cache-Control", "max-age=60, max-age=0")], False),
        ([("Cache-Control", "max-age=x")], False),
        ([("Cache-Control", 'max-age="60"')], True),
        ([("Cache-Control", "max-age=-1")], False),
        ([("Cache-Control", "max-age=60;max-age=60")], True),
        ([("Cache-Control", "MAX-AGE=60")], True),
        ([("Date", http_date(0)), ("Expires", http_date(0))], False),
        ([("Date", http_date(-3600)), ("Expires", http_date(-3000))], False),
        ([("Expires", http_date(60)), ("Expires", http_date(0))], False),
    ],
    ids=str,
)
def test_section_4_2_1_which_lifetime_counts(pair: Pair, fields: Fields, is_fresh: bool) -> None:
    pair.fields = fields
    assert pair.second_is_stored() is is_fresh


@pytest.mark.parametrize(
    ("ages", "date", "least"),
    [
        *((["10"], None, 10), ([], -20, 19), (["5"], -20, 19), (["30"], -20, 30), ([], 3600, 0)),
        *((["x"], None, 0), (["7, 9"], None, 7), (["7", "9"], None, 7)),
    ],
)
def test_section_4_2_3_age(pair: Pair, ages: list[str], date: int | None, least: int) -> None:
    pair.fields = [*(("Age", age) for age in ages), ("Cache-Control", "max-age=600")]
    if date is not None:
        pair.fields.append(("Date", http_date(date)))
    pair.ask()
    got = pair.ask()
    assert got.outcome == "HIT"
    assert least <= int(got.one("Age")) < least + 60


def test_section_5_3_an_invalid_expires_means_expired(pair: Pair) -> None:
    pair.fields = [("Expires", "tomorrow")]
    assert not pair.second_is_stored()


def test_section_5_4_pragma_forbids_nothing_beside_cache_control(pair: Pair) -> None:
    pair.fields = [("Pragma", "no-cache"), ("Cache-Control", "max-age=60")]
    assert pair.second_is_stored()


@pytest.mark.parametrize("directive", ["no-transform", "immutable", "community=UCI", "x", "must-understand"])
def test_section_5_2_3_directives_that_mean_nothing_here_change_nothing(pair: Pair, directive: str) -> None:
    pair.fields = [("Cache-Control", f"{directive}, max-age=60")]
    assert pair.second_is_stored()


def test_section_5_2_2_3_must_understand_does_not_lift_no_store(pair: Pair) -> None:
    pair.fields = [("Cache-Control", "must-understand, no-store, max-age=60")]
    assert not pair.second_is_stored()


# --- validation


def test_section_4_3_1_a_stale_answer_is_validated_by_all_that_it_has(pair: Pair) -> None:
    modified = http_date(-1000)
    pair.fields = [STALE, ("ETag", 'W/"1"'), ("Last-Modified", modified)]
    pair.ask()
    pair.ask(If_None_Match='"another"', If_Modified_Since=http_date(0))
    first, second = pair.asked
    assert (first.one("if-none-match"), first.one("if-modified-since")) == (None, None)
    assert (second.one("if-none-match"), second.one("if-modified-since")) == ('W/"1"', modified)


def test_section_4_3_3_304_serves_what_is_stored_with_its_new_fields(pair: Pair) -> None:
    pair.fields = [STALE, ("ETag", '"1"'), ("X-Part", "old"), ("Content-Type", "text/plain")]
    pair.ask()
    pair.status = 304
    pair.fields = [
        ("Cache-Control", "max-age=60"),
        ("ETag", '"1"'),
        ("X-Part", "new"),
        ("Content-Type", "x/y"),
    ]
    for outcome in ("REVALIDATED", "HIT"):
        got = pair.ask()
        assert (got.status, got.content, got.outcome) == (200, b"answer 1", outcome)
        # Section 3.2: all fields but those about the content.
        assert (got.one("X-Part"), got.one("Content-Type")) == ("new", "text/plain")
    assert len(pair.asked) == 2


def test_section_4_3_3_a_full_answer_takes_the_place_of_what_is_stored(pair: Pair) -> None:
    pair.fields = [STALE, ("ETag", '"1"')]
    pair.ask()
    pair.fields = [("ETag", '"2"')]
    assert pair.ask().content == b"answer 2"
    assert pair.ask().content == b"answer 2"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_section_4_3_3_an_error_may_be_answered_by_what_is_stored(pair: Pair, status: int) -> None:
    pair.fields = [STALE, ("ETag", '"1"')]
    pair.ask()
    pair.status = status
    got = pair.ask()
    assert (got.status, got.content, got.outcome) == (200, b"answer 1", "STALE")
    assert got.one("Cache-Status") == f"foregate; fwd=stale; fwd-status={status}"


def test_section_4_3_4_a_304_with_another_validator_refreshes_nothing(pair: Pair) -> None:
    pair.fields = [STALE, ("ETag", '"1"')]
    pair.ask()
    pair.status, pair.fields = 304, [("ETag", '"2"')]
    assert pair.ask().status == 304  # asked once more, by itself, it is the app's own answer
    pair.status, pair.fields = 200, []
    assert pair.ask().content == f"answer {len(pair.asked)}".encode()


def test_section_4_3_5_a_head_changes_nothing_that_is_stored(pair: Pair) -> None:
    pair.fields = [STALE, ("ETag", '"1"')]
    pair.ask()
    pair.fields = [STALE, ("ETag", '"2"')]
    pair.ask("HEAD")
    pair.ask()
    assert pair.asked[-1].one("if-none-match") == '"1"'


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=0", "no-cache"])
def test_section_4_2_4_what_forbids_stale_answers_is_heeded(pair: Pair, directive: str) -> None:
    pair.fields = [("Cache-Control", f"{directive}, max-age=0, stale-if-error=600")]
    pair.ask()
    pair.status = 503
    assert pair.ask().status == 503
