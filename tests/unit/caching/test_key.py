"""The cache key holds everything that an answer may depend on, and nothing that clients merely differ in."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.identity import identify
from proxy.caching.key import (
    KeyRules,
    Pairs,
    cache_key,
    compile_rules,
    digest_of,
    fill_value,
    kept_cookies,
    key_base,
)
from proxy.caching.neutral import CLIENT_ADDRESS, REPLACED, is_neutral, is_suspicious
from proxy.config.schema import Cache

SECRET = bytes(range(32))
RULES = compile_rules(Cache(), SECRET)
BASE = key_base(b"https", b"app.example.com", 443)
BROWSER: Pairs = (
    (b"host", b"app.example.com"),
    (b"user-agent", b"Mozilla/5.0"),
    (b"accept", b"text/html"),
    (b"accept-encoding", b"gzip, br"),
    (b"connection", b"keep-alive"),
)


def key_of(pairs: Pairs, rules: KeyRules = RULES, *, target: bytes = b"/", trusted: bool = False) -> bytes:
    return cache_key(BASE, target, identify(pairs, rules, trusted=trusted))


def with_field(name: bytes, value: bytes) -> Pairs:
    return (*BROWSER, (name, value))


# --- what does and does not select


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (b"cookie", b"session=1"),
            (b"authorization", b"Bearer x"),
            (b"x-api-key", b"k"),
            (b"origin", b"https://x"),
        ),
        *(
            (b"x-forwarded-host", b"evil"),
            (b"x-original-url", b"/admin"),
            (b"x-http-method-override", b"PUT"),
        ),
        *(
            (b"x-anything", b""),
            (b"proxy-authorization", b"Basic x"),
            (b"via", b"1.1 x"),
            (b"cf-ipcountry", b"DE"),
        ),
        *(
            (b"range-unit", b"x"),
            (b"content-type", b"text/plain"),
            (b"expect", b"100-continue"),
            (b"x_forwarded_for", b"1"),
        ),
    ],
)
def test_a_field_outside_the_neutral_list_makes_another_key(name: bytes, value: bytes) -> None:
    assert key_of(with_field(name, value)) != key_of(BROWSER)
    assert key_of(with_field(name, value)) != key_of(with_field(name, value + b"2"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((b"referer", b"https://x/"), (b"sec-fetch-site", b"none"), (b"sec-ch-ua", b'"x"'), (b"dnt", b"1")),
        *(
            (b"if-none-match", b'"x"'),
            (b"range", b"bytes=0-1"),
            (b"cache-control", b"no-cache"),
            (b"pragma", b"no-cache"),
        ),
        *(
            (b"traceparent", b"00-1"),
            (b"x-forwarded-for", b"1.2.3.4"),
            (b"x-real-ip", b"1.2.3.4"),
            (b"te", b"trailers"),
        ),
        *(
            (b"cookie", b"_ga=1"),
            (b"cookie", b"_ga_XY=1; __utma=2; _fbp=3"),
            (b"cookie", b""),
            (b"cf-ray", b"8f"),
        ),
    ],
)
def test_a_neutral_field_leaves_the_key_as_it_is(name: bytes, value: bytes) -> None:
    assert key_of(with_field(name, value)) == key_of(BROWSER)


def test_the_order_of_different_fields_does_not_matter_but_that_of_equal_names_does() -> None:
    one = ((b"x-a", b"1"), (b"x-b", b"2"), (b"x-b", b"3"))
    assert key_of(one) == key_of((one[1], one[0], one[2]))
    assert key_of(one) != key_of((one[0], one[2], one[1]))


def test_two_lines_are_not_one_line_with_a_comma() -> None:
    assert key_of(((b"x-a", b"1"), (b"x-a", b"2"))) != key_of(((b"x-a", b"1, 2"),))


def test_poisoning_a_suspicious_neutral_value_gets_a_key_of_its_own() -> None:
    assert key_of(with_field(b"referer", b"https://x/<script>")) != key_of(BROWSER)


def test_poisoning_hiding_a_field_from_the_upstream_by_connection_gets_a_key_of_its_own() -> None:
    asked = (*BROWSER, (b"origin", b"https://spa"))
    hidden = (*BROWSER, (b"origin", b"https://spa"), (b"connection", b"close, Origin"))
    assert key_of(hidden) != key_of(asked)
    assert key_of(hidden) != key_of(BROWSER)
    unvaried = (*BROWSER, (b"connection", b"accept-encoding"))
    assert key_of(unvaried) != key_of(BROWSER)


def test_poisoning_what_an_untrusted_peer_says_is_not_what_a_trusted_one_says() -> None:
    claimed = with_field(b"x-forwarded-proto", b"https")
    assert key_of(claimed, trusted=True) != key_of(claimed, trusted=False)


def test_rfc9111_2_the_target_is_keyed_raw() -> None:
    spellings = (
        b"/a",
        b"/%61",
        b"/a/",
        b"/a?",
        b"/a?b",
        b"/x/../a",
        b"//a",
        b"/a#",
        b"/a;b",
        b"/a%2f",
        b"/a%2F",
        b"/A",
    )
    keys = {key_of(BROWSER, target=target) for target in spellings}
    assert len(keys) == len(spellings)


def test_deception_a_static_looking_suffix_is_another_key_and_no_exception() -> None:
    user = with_field(b"cookie", b"session=alice")
    assert key_of(user, target=b"/account/x.css") != key_of(BROWSER, target=b"/account/x.css")


def test_rfc9111_2_scheme_host_and_port_are_in_the_key() -> None:
    identity = identify(BROWSER, RULES)
    bases = [
        key_base(b"http", b"a", 80),
        key_base(b"https", b"a", 80),
        key_base(b"http", b"b", 80),
        key_base(b"http", b"a:80", 80),
        key_base(b"http", b"A", 80),
        key_base(b"http", b"a", 81),
        key_base(b"http", b"", 80),
        key_base(b"http", b"a", 80, b"1.2.3.4"),
        key_base(b"http", b"a", 80, space=b"1"),
    ]
    assert len({cache_key(base, b"/", identity) for base in bases}) == len(bases)


def test_base_and_target_cannot_flow_into_each_other() -> None:
    identity = identify(BROWSER, RULES)
    assert cache_key(b"http a 80 ", b"/b", identity) != cache_key(b"http a 80", b" /b", identity)


# --- properties

names = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=12).filter(lambda value: not set(value) & set(b"\r\n\0"))
lines = st.lists(st.tuples(names, values), max_size=6).map(tuple)


def significant(pairs: Pairs) -> list[tuple[bytes, bytes]]:
    """Say independently what a request's key must hold: everything but neutral and replaced fields."""
    kept = [
        (name, value)
        for name, value in pairs
        if name not in REPLACED
        and name not in CLIENT_ADDRESS
        and (not is_neutral(name) or is_suspicious(name, value))
    ]
    return sorted(kept, key=lambda line: line[0])


@given(lines, lines)
def test_two_requests_that_differ_in_a_keyed_field_never_share_a_key(one: Pairs, other: Pairs) -> None:
    assert (key_of(one) == key_of(other)) == (significant(one) == significant(other))


@given(lines, st.integers(min_value=0, max_value=5), names, values)
def test_changing_any_one_keyed_field_changes_the_key(
    pairs: Pairs, place: int, name: bytes, value: bytes
) -> None:
    line = (b"x-" + name, value)
    changed = (*pairs[:place], line, *pairs[place:])
    assert key_of(changed) != key_of(pairs)
    assert key_of((*pairs[:place], (line[0], value + b"."), *pairs[place:])) != key_of(changed)


@given(st.lists(st.binary(max_size=5), max_size=5), st.lists(st.binary(max_size=5), max_size=5))
def test_no_two_sequences_of_parts_share_a_digest(one: list[bytes], other: list[bytes]) -> None:
    assert (digest_of(SECRET, *one) == digest_of(SECRET, *other)) == (one == other)


def test_another_secret_makes_other_keys() -> None:
    other = compile_rules(Cache(), bytes(32))
    assert key_of(BROWSER) != key_of(BROWSER, other)


# --- cookies


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"session=1", b"session=1"),
        (b"session=1; _ga=2", b"session=1"),
        (b"_ga=2; session=1;_gid=3; theme=dark", b"session=1; theme=dark"),
        (b"_ga=2", b""),
        (b"a=1;b=2", b"a=1;b=2"),
        (b"_gax=2", b"_gax=2"),
        (b"_ga_1=2", b""),
        (b" _ga = 2 ; a=1", b"a=1"),
        (b"_GA=2", b"_GA=2"),
        (b"x_ga=2", b"x_ga=2"),
        (b'_ga="; session=abc; "', b'session=abc; "'),
        (b"_ga", b""),
        (b"", b""),
    ],
)
def test_ignored_cookies_are_taken_out_of_what_the_upstream_gets(value: bytes, kept: bytes) -> None:
    assert kept_cookies(value, RULES) == kept


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_two_requests_share_a_key_only_if_the_upstream_gets_the_same_cookies(
    one: bytes, other: bytes
) -> None:
    same_key = key_of(((b"cookie", one),)) == key_of(((b"cookie", other),))
    assert same_key == (fill_value(b"cookie", one, RULES) == fill_value(b"cookie", other, RULES))


def test_a_glob_is_no_regular_expression() -> None:
    rules = compile_rules(Cache(ignore_cookies=("a.b", "(x", "c?")), SECRET)
    assert kept_cookies(b"axb=1; a.b=2; (x=3; c=4; c?=5", rules) == b"axb=1; c=4"


def test_no_glob_ignores_nothing() -> None:
    rules = compile_rules(Cache(ignore_cookies=()), SECRET)
    assert kept_cookies(b"_ga=1", rules) == b"_ga=1"


@pytest.mark.parametrize("name", [b"if-none-match", b"if-modified-since", b"if-range", b"range"])
def test_conditionals_are_not_sent_on_a_fill(name: bytes) -> None:
    assert fill_value(name, b"x", RULES) is None


def test_other_fields_are_sent_on_a_fill_as_they_came() -> None:
    assert fill_value(b"authorization", b"Basic x", RULES) == b"Basic x"
    assert fill_value(b"cookie", b"_ga=1", RULES) is None
    assert fill_value(b"cookie", b"a=1; _ga=1", RULES) == b"a=1"


# --- configuration


def test_configured_neutral_fields_leave_the_key() -> None:
    rules = compile_rules(Cache(neutral_fields=("X-Device",)), SECRET)
    assert key_of(with_field(b"x-device", b"1"), rules) == key_of(BROWSER, rules)


@pytest.mark.parametrize("name", ["Authorization", "cookie", "X-Api-Key", "X-Auth-Token"])
def test_a_credential_stays_in_the_key_even_if_configured_as_neutral(name: str) -> None:
    rules = compile_rules(Cache(neutral_fields=(name,)), SECRET)
    assert key_of(with_field(name.lower().encode(), b"1"), rules) != key_of(BROWSER, rules)


def test_with_key_client_address_what_names_the_client_is_keyed() -> None:
    rules = compile_rules(Cache(key_client_address=True), SECRET)
    assert key_of(with_field(b"x-forwarded-for", b"1.2.3.4"), rules) != key_of(BROWSER, rules)
