"""Single byte ranges of what is stored (RFC 9110 section 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.ranges import RangeVerdict, select_range

IGNORE, UNSATISFIABLE, SEVERAL = RangeVerdict.IGNORE, RangeVerdict.UNSATISFIABLE, RangeVerdict.SEVERAL


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-9", (0, 10)),
        (b"bytes=5-", (5, 10)),
        (b"bytes=5-99", (5, 10)),
        (b"bytes=-3", (7, 10)),
        (b"bytes=-99", (0, 10)),
        (b"Bytes=1-2", (1, 3)),
        (b"bytes= 1-2 ,", (1, 3)),
        (b"bytes=0-" + b"9" * 40, (0, 10)),
        (b"bytes=" + b"0" * 40 + b"1-2", (1, 3)),
        (b"bytes=-" + b"9" * 40, (0, 10)),
        (b"bytes=10-", UNSATISFIABLE),
        (b"bytes=10-20", UNSATISFIABLE),
        (b"bytes=" + b"9" * 40 + b"-", UNSATISFIABLE),
        (b"bytes=-0", UNSATISFIABLE),
        (b"bytes=0-1,5-6", SEVERAL),
        (b"bytes=0-1,99-", SEVERAL),
        (b"bytes=5-2", IGNORE),
        (b"bytes=", IGNORE),
        (b"bytes", IGNORE),
        (b"bytes=-", IGNORE),
        (b"bytes=a-b", IGNORE),
        (b"bytes=+1-2", IGNORE),
        (b"bytes=1--2", IGNORE),
        (b"bytes =0-1", IGNORE),
        (b"bytes=0-1,x", IGNORE),
        (b"items=0-1", IGNORE),
        (b"bytes=\xd9\xa0-\xd9\xa1", IGNORE),
        (b"", IGNORE),
    ],
)
def test_rfc9110_14_1_2_ranges_of_ten_octets(value: bytes, expected: tuple[int, int] | RangeVerdict) -> None:
    assert select_range(value, 10) == expected


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=-5", b"bytes=0-0"])
def test_rfc9110_14_1_2_nothing_can_be_taken_from_no_content(value: bytes) -> None:
    assert select_range(value, 0) is UNSATISFIABLE


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 200))
def test_a_range_selects_what_a_slice_would(first: int, extent: int, length: int) -> None:
    content = bytes(length)
    selected = select_range(b"bytes=%d-%d" % (first, first + extent), length)
    expected = content[first : first + extent + 1]
    if isinstance(selected, RangeVerdict):
        assert selected is UNSATISFIABLE
        assert not expected
    else:
        assert len(content[slice(*selected)]) == len(expected)
        assert selected[0] == first


@given(st.binary(max_size=30), st.integers(0, 100))
def test_no_octets_select_outside_the_content(value: bytes, length: int) -> None:
    selected = select_range(b"bytes=" + value, length)
    if not isinstance(selected, RangeVerdict):
        assert 0 <= selected[0] < selected[1] <= length
