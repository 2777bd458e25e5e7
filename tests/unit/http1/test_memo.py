"""The memo is bounded and never keeps what is not worth its place."""

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.errors import MessageError
from proxy.http1.memo import MAX_OCTETS, MAX_SECTION, FieldMemo, RequestMemo
from proxy.http1.request import RequestFields, parse_request_fields
from tests.fakes.sections import GOOD_SECTIONS, SECTIONS


def test_the_oldest_give_way() -> None:
    memo: FieldMemo[int] = FieldMemo()
    sections = [b"%04d" % i + b"x" * 1000 for i in range(MAX_OCTETS // 1000 + 10)]
    for number, section in enumerate(sections):
        memo.put(section, number)
    assert memo.get(sections[0]) is None
    assert memo.get(sections[-1]) == len(sections) - 1
    assert sum(map(len, memo)) <= MAX_OCTETS


def test_long_sections_are_not_kept() -> None:
    memo: FieldMemo[int] = FieldMemo()
    memo.put(b"x" * (MAX_SECTION + 1), 1)
    assert not memo


def test_putting_again_counts_once_and_forgetting_starts_anew() -> None:
    memo: FieldMemo[int] = FieldMemo()
    for _ in range(10_000):
        memo.put(b"a", 1)
    assert memo.get(b"a") == 1
    memo.forget()
    assert not memo
    memo.put(b"b", 2)
    assert memo.get(b"b") == 2


# --- request sections read in two parts


def outcome(read: Callable[[], RequestFields]) -> RequestFields | tuple[str, int, str]:
    try:
        return read()
    except MessageError as error:
        return error.kind, error.status, error.wording


@given(sections=st.lists(SECTIONS, min_size=1, max_size=5), minor=st.sampled_from([0, 1, 1]))
@example(sections=[b"Host: a\r\nCookie: a\r\n", b"Host: a\r\nCookie: b\x01\r\n"], minor=1)
@example(sections=[b"Host: a\r\nCookie: a\r\n", b"Host: a\r\nCookie: Cookie: \r\n"], minor=1)
@example(
    sections=[b"Host: a\r\nCookie: a\r\nCookie: b\r\n", b"Host: a\r\nCookie: \r\nCookie: b\r\n"], minor=1
)
@example(sections=[b"Host: a\r\nCookie: a\r\nCookie: ", b"Host: a\r\nCookie: a"], minor=1)
@example(sections=[b"Host: a\r\nCookie: %s\r\n" % (b"x" * 5000)] * 2, minor=1)
@example(sections=[b"Host: a\r\nB: %s\r\nCookie: %s\r\n" % (b"x" * 5000, b"y")] * 2, minor=1)
@example(sections=[b"Host: a\r\n" + b"A: b\r\n" * 10 + b"Cookie: %s\r\n" % b"y"], minor=1)
def test_a_section_means_the_same_however_it_is_read(sections: list[bytes], minor: int) -> None:
    memo = RequestMemo(minor)
    for section in sections:
        for _ in range(2):
            read = outcome(lambda: memo.parse(section, 10))  # noqa: B023 - called at once
            assert read == outcome(lambda: parse_request_fields(section, minor, 10))  # noqa: B023
            assert memo.get(section) == (read if len(section) <= MAX_SECTION else None) or isinstance(
                read, tuple
            )


@given(GOOD_SECTIONS)
def test_sections_of_many_clients_are_read_by_what_they_have_in_common(section: bytes) -> None:
    memo = RequestMemo(1)
    fields, other = memo.parse(section, 100), memo.parse(section.replace(b"Cookie: ", b"Cookie: z=1;"), 100)
    assert fields.common is not None
    assert other.common is fields.common
    assert other.shared is fields.shared
    assert other.derived is not fields.derived
    assert fields.lines[fields.common.cookie_at][0] == b"cookie"


def test_what_sections_have_in_common_is_bounded_and_forgotten() -> None:
    memo = RequestMemo(1)
    for number in range(3000):
        memo.parse(b"Host: a%d\r\nCookie: a\r\nX: %s\r\n" % (number, b"x" * 1000), 100)
    assert sum(map(len, memo)) <= MAX_OCTETS
    assert sum(map(len, memo._commons)) <= MAX_OCTETS
    memo.forget()
    assert not memo
    assert not memo._commons
    memo.parse(b"Host: a\r\nX-Long: %s\r\nCookie: a\r\n" % (b"x" * MAX_SECTION), 100)
    assert not memo._commons
