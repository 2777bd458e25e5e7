"""Preconditions evaluated on what is stored (RFC 9110 section 13, RFC 9111 section 4.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.conditional import (
    confirms,
    entity_tags,
    if_range_holds,
    is_not_modified,
    revalidation_fields,
)
from proxy.caching.key import Pairs

NOW = 1_795_000_000.0
MODIFIED = b"Sun, 06 Nov 1994 08:49:37 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = b"Sun, 06 Nov 1994 08:49:36 GMT"
STORED: Pairs = (
    (b"etag", b'"v1"'),
    (b"last-modified", MODIFIED),
    (b"date", b"Sun, 06 Nov 1994 09:00:00 GMT"),
)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([b'"v1"'], True),
        ([b'W/"v1"'], True),
        ([b'"v0", "v1"'], True),
        ([b'"v0"', b'"v1"'], True),
        ([b'"v,1", "v1"'], True),
        ([b"*"], True),
        ([b'"v0"'], False),
        ([b"v1"], False),
        ([b'"v1'], False),
        ([b'"v0" "v1"'], False),
        ([b'"v1", junk'], False),
        ([b""], False),
    ],
)
def test_rfc9110_13_1_2_if_none_match(conditions: list[bytes], expected: bool) -> None:
    request = tuple((b"if-none-match", condition) for condition in conditions)
    assert is_not_modified(request, STORED, NOW) is expected


def test_rfc9110_13_1_2_a_weak_stored_tag_matches_too() -> None:
    assert is_not_modified(((b"if-none-match", b'"v1"'),), ((b"etag", b'W/"v1"'),), NOW)


def test_without_a_stored_tag_nothing_but_a_star_matches() -> None:
    assert not is_not_modified(((b"if-none-match", b'"v1"'),), (), NOW)
    assert is_not_modified(((b"if-none-match", b"*"),), (), NOW)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (MODIFIED, True),
        (LATER, True),
        (EARLIER, False),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", True),
        (b"yesterday", False),
        (b"", False),
    ],
)
def test_rfc9110_13_1_3_if_modified_since(since: bytes, expected: bool) -> None:
    assert is_not_modified(((b"if-modified-since", since),), STORED, NOW) is expected


def test_rfc9110_13_1_3_it_is_ignored_beside_if_none_match() -> None:
    request = ((b"if-none-match", b'"v0"'), (b"if-modified-since", LATER))
    assert not is_not_modified(request, STORED, NOW)


def test_rfc9110_13_1_3_it_is_ignored_when_it_comes_twice() -> None:
    assert not is_not_modified(((b"if-modified-since", LATER),) * 2, STORED, NOW)


def test_rfc9111_4_3_2_date_stands_in_for_last_modified() -> None:
    assert is_not_modified(((b"if-modified-since", MODIFIED),), ((b"date", MODIFIED),), NOW)
    assert not is_not_modified(((b"if-modified-since", MODIFIED),), ((b"date", LATER),), NOW)
    assert not is_not_modified(((b"if-modified-since", MODIFIED),), (), NOW)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"v1"', True),
        (b'W/"v1"', False),
        (b'"v0"', False),
        (MODIFIED, True),
        (LATER, False),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", False),
        (b"junk", False),
    ],
)
def test_rfc9110_13_1_5_if_range_needs_a_strong_match(value: bytes, expected: bool) -> None:
    assert if_range_holds(((b"if-range", value),), STORED, NOW) is expected


def test_rfc9110_13_1_5_a_weak_stored_tag_never_matches() -> None:
    assert not if_range_holds(((b"if-range", b'W/"v1"'),), ((b"etag", b'W/"v1"'),), NOW)


def test_rfc9110_8_8_2_2_a_date_of_the_same_second_is_weak() -> None:
    stored = ((b"last-modified", MODIFIED), (b"date", MODIFIED))
    assert not if_range_holds(((b"if-range", MODIFIED),), stored, NOW)


def test_without_if_range_a_range_applies_and_with_two_it_does_not() -> None:
    assert if_range_holds((), STORED, NOW)
    assert not if_range_holds(((b"if-range", b'"v1"'),) * 2, STORED, NOW)


def test_rfc9111_4_3_1_revalidation_sends_what_validators_there_are() -> None:
    assert revalidation_fields(STORED) == ((b"if-none-match", b'"v1"'), (b"if-modified-since", MODIFIED))
    assert revalidation_fields(((b"etag", b"unquoted"),)) == ()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((), True),
        (((b"etag", b'"v1"'),), True),
        (((b"etag", b'W/"v1"'),), True),
        (((b"etag", b'"v2"'),), False),
        (((b"last-modified", MODIFIED),), True),
        (((b"last-modified", LATER),), False),
    ],
)
def test_rfc9111_4_3_4_a_304_refreshes_only_the_response_it_speaks_of(answer: Pairs, expected: bool) -> None:
    assert confirms(answer, STORED) is expected


@given(st.binary(max_size=40))
def test_no_octets_make_the_list_parser_fail(value: bytes) -> None:
    tags = entity_tags(value)
    assert tags is None or all(tag in value for tag in tags)
