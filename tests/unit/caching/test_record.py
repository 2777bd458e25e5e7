"""Records survive the way into octets and back, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.record import RecordError, Stamp, Stored, Variants, decode, encode

word = st.integers(0, (1 << 64) - 1)
stamps = st.builds(
    Stamp,
    st.binary(max_size=20),
    st.binary(max_size=20),
    word,
    st.lists(st.tuples(st.integers(0, (1 << 32) - 1), word), max_size=5).map(tuple),
)
responses = st.builds(
    Stored,
    st.integers(100, 999),
    st.binary(max_size=9),
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.integers(-(1 << 63), (1 << 63) - 1),
    word,
    word,
    word,
    stamps,
)
variants = st.builds(
    Variants,
    st.lists(st.sampled_from([b"accept", b"dpr", b"user-agent"]), min_size=1, max_size=3).map(tuple),
    st.lists(st.binary(min_size=8, max_size=8), max_size=16).map(tuple),
    word,
)


@given(responses | variants)
def test_a_record_comes_back_as_it_was(record: Stored | Variants) -> None:
    assert decode(encode(record)) == record


@given(responses | variants, st.integers(1, 40))
def test_a_record_that_was_cut_is_none(record: Stored | Variants, cut: int) -> None:
    octets = encode(record)
    with pytest.raises(RecordError):
        decode(octets[: max(0, len(octets) - cut)])


@given(st.binary(max_size=200))
def test_other_octets_are_a_record_or_an_error(octets: bytes) -> None:
    try:
        decode(octets)
    except RecordError:
        return


def test_a_stored_response_shows_its_fields() -> None:
    stored = Stored(
        200, b"OK", b"Content-Type: text/html\r\nX-A:  b:c \r\n", b"", 0, 0, 0, 0, Stamp(b"", b"", 0, ())
    )
    assert stored.pairs == ((b"content-type", b"text/html"), (b"x-a", b"b:c"))


def test_memory_variants_are_capped_and_the_oldest_gives_way() -> None:
    known = Variants((b"accept",), (), 10)
    for number in range(20):
        known = known.with_variant(b"%08d-further" % number, most=4, until=5)
    assert known.tags == tuple(b"%08d" % number for number in (16, 17, 18, 19))
    assert known.until == 10
    assert known.holds(b"00000019")
    assert not known.holds(b"00000015")


def test_a_variant_that_comes_again_is_the_youngest() -> None:
    known = Variants((b"accept",), (b"a" * 8, b"b" * 8), 10).with_variant(b"a" * 8, most=2, until=12)
    assert known.tags == (b"b" * 8, b"a" * 8)
    assert known.until == 12


@given(stamps, stamps)
def test_equal_stamps_have_equal_fingerprints(one: Stamp, other: Stamp) -> None:
    if (one.purges, one.tokens) == (other.purges, other.tokens):
        assert one.fingerprint == other.fingerprint


@given(st.lists(st.tuples(st.integers(0, 9), word), min_size=1, max_size=5), word)
def test_a_changed_word_changes_the_fingerprint(tokens: list[tuple[int, int]], value: int) -> None:
    changed = [(tokens[0][0], value), *tokens[1:]]
    one, other = Stamp(b"", b"", 0, tuple(tokens)), Stamp(b"", b"", 0, tuple(changed))
    assert (one.fingerprint == other.fingerprint) == (tokens == changed)
