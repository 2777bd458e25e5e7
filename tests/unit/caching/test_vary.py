"""Vary: which responses may share a key, and which variants are one (RFC 9111 section 4.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.key import Pairs, compile_rules
from proxy.caching.vary import normal_accept_encoding, selecting_values, vary_names
from proxy.config.schema import Cache

RULES = compile_rules(Cache(), bytes(32))


def names_of(*values: bytes, extra: Pairs = (), settings: Cache | None = None) -> tuple[bytes, ...] | None:
    rules = compile_rules(settings or Cache(), bytes(32))
    return vary_names((*((b"vary", value) for value in values), *extra), rules)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        ([b""], ()),
        ([b"Accept-Encoding"], (b"accept-encoding",)),
        ([b"User-Agent , accept-language"], (b"accept-language", b"user-agent")),
        ([b"accept", b"Accept"], (b"accept",)),
        ([b"Cookie, Authorization, Origin, X-Tenant"], ()),
        ([b"Host, Connection, If-None-Match, Range"], ()),
        ([b"Sec-Fetch-Site"], (b"sec-fetch-site",)),
    ],
)
def test_rfc9111_4_1_what_the_key_does_not_hold_selects(
    values: list[bytes], expected: tuple[bytes, ...]
) -> None:
    assert names_of(*values) == expected


@pytest.mark.parametrize("value", [b"*", b"accept, *", b"accept encoding", b'"accept"', b"a:b", b"\xff"])
def test_rfc9111_4_1_a_star_or_something_unreadable_is_not_stored(value: bytes) -> None:
    assert names_of(value) is None


def test_memory_a_huge_vary_is_not_stored() -> None:
    assert names_of(b",".join(b"accept-%d" % number for number in range(100))) is None


@pytest.mark.parametrize(
    "value", [b"X-Forwarded-For", b"X-Real-IP", b"Forwarded", b"CF-Connecting-IP", b"X-Request-ID"]
)
def test_an_answer_that_varies_on_what_is_replaced_here_is_not_stored(value: bytes) -> None:
    assert names_of(value) is None


def test_with_key_client_address_it_is() -> None:
    assert names_of(b"X-Forwarded-For", settings=Cache(key_client_address=True)) == ()


def test_configured_neutral_fields_select() -> None:
    assert names_of(b"X-Device", settings=Cache(neutral_fields=("X-Device",))) == (b"x-device",)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity, gzip"])
def test_a_coded_answer_varies_on_accept_encoding_even_if_it_forgot_to_say_so(coding: bytes) -> None:
    assert names_of(extra=((b"content-encoding", coding),)) == (b"accept-encoding",)


def test_an_uncoded_answer_does_not() -> None:
    assert names_of(extra=((b"content-encoding", b"identity"),)) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([b"gzip, deflate, br"], [b"br,gzip , deflate"]),
        ([b"gzip;q=1.0, br;q=0.5"], [b"br, GZIP"]),
        ([b"gzip", b"br"], [b"gzip, br"]),
        ([b"x-gzip"], [b"gzip"]),
        ([b"gzip, identity"], [b"gzip"]),
        ([b"gzip, br;q=0"], [b"gzip"]),
        ([b"gzip, br; q=0.000"], [b"gzip"]),
    ],
)
def test_rfc9110_12_5_3_equivalent_accept_encodings_are_one(one: list[bytes], other: list[bytes]) -> None:
    assert normal_accept_encoding(one) == normal_accept_encoding(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([b"gzip"], [b"br"]),
        ([b"gzip"], [b"gzip, br"]),
        ([b"gzip"], [b""]),
        ([b"gzip"], [b"gzip;q=0"]),
        ([b"*"], [b"*, gzip;q=0"]),
        ([b"gzip"], [b"gzip, identity;q=0"]),
        ([b"gzip"], [b"gzip, *;q=0"]),
        ([b"gzip"], [b"gzip, zst-experimental"]),
        ([b"gzip;q=0.001"], [b"gzip;q=0"]),
    ],
)
def test_rfc9110_12_5_3_different_wishes_stay_apart(one: list[bytes], other: list[bytes]) -> None:
    assert normal_accept_encoding(one) != normal_accept_encoding(other)


def values_of(*pairs: tuple[bytes, bytes], names: tuple[bytes, ...]) -> bytes:
    return selecting_values(pairs, names)


def test_rfc9111_4_1_white_space_and_lines_do_not_matter_the_values_do() -> None:
    names = (b"accept-language",)
    one = values_of((b"accept-language", b"en , de"), names=names)
    assert one == values_of((b"accept-language", b"en"), (b"accept-language", b"de"), names=names)
    assert one != values_of((b"accept-language", b"de, en"), names=names)
    assert one != values_of(names=names)


def test_an_absent_field_is_not_an_empty_one() -> None:
    for name in (b"accept-language", b"accept-encoding"):
        assert values_of(names=(name,)) != values_of((name, b""), names=(name,))


line = st.tuples(
    st.sampled_from([b"accept", b"dpr", b"user-agent"]), st.text("ab:,+-1 ", max_size=6).map(str.encode)
)
requests = st.lists(line, max_size=5).map(tuple)


@given(requests, requests)
def test_no_two_different_selections_flow_into_one(one: Pairs, other: Pairs) -> None:
    names = (b"accept", b"dpr", b"user-agent")

    def plain(pairs: Pairs) -> list[list[bytes] | None]:
        joined = [b",".join(value for lower, value in pairs if lower == name) for name in names]
        present = [any(lower == name for lower, _ in pairs) for name in names]
        members = [[part.strip() for part in value.strip().split(b",")] for value in joined]
        return [found if there else None for found, there in zip(members, present, strict=True)]

    assert (selecting_values(one, names) == selecting_values(other, names)) == (plain(one) == plain(other))


@given(st.lists(st.binary(max_size=30), max_size=3))
def test_no_octets_make_it_fail(values: list[bytes]) -> None:
    normal_accept_encoding(values)
    vary_names(tuple((b"vary", value) for value in values), RULES)
