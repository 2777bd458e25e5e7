"""Whom a request speaks for, whether it may use the cache, and what its identity remembers."""

from itertools import pairwise

import pytest

from proxy.caching.identity import MAX_CREDENTIALS, Identity, identify
from proxy.caching.key import Pairs, admission, compile_rules, rules_for_writes
from proxy.caching.outcomes import Reason
from proxy.config.schema import Cache
from proxy.semantics.fields import SAFE_METHODS
from tests.fakes.cache import RULES, SECRET

BROWSER: Pairs = (
    (b"host", b"app.example.com"),
    (b"user-agent", b"Mozilla/5.0"),
    (b"connection", b"keep-alive"),
)


def with_field(name: bytes, value: bytes) -> Pairs:
    return (*BROWSER, (name, value))


# --- credentials


def credentials_of(pairs: Pairs) -> set[int]:
    return set(identify(pairs, RULES).elements)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (BROWSER, False),
        (with_field(b"cookie", b"_ga=1"), False),
        (with_field(b"cookie", b"a=1"), True),
        (with_field(b"authorization", b"Basic x"), True),
        (with_field(b"x-api-key", b"1"), True),
        (with_field(b"origin", b"https://x"), False),
        (with_field(b"x-tenant", b"7"), False),
    ],
)
def test_a_request_carries_a_credential(pairs: Pairs, expected: bool) -> None:
    assert identify(pairs, RULES).credential is expected


def test_each_cookie_is_a_credential_of_its_own_so_that_paths_of_cookies_do_not_matter() -> None:
    written = credentials_of(with_field(b"cookie", b"session=1; admin=x"))
    read = credentials_of(with_field(b"cookie", b"session=1"))
    assert read < written
    assert len(written) == 2


def test_a_cookie_is_the_same_credential_whatever_stands_around_it() -> None:
    one = credentials_of(((b"cookie", b"a=1;b=2"),))
    assert one == credentials_of(((b"cookie", b"b=2; _ga=9"), (b"cookie", b" a=1 ")))


def test_a_write_voids_by_everything_that_any_route_may_go_by() -> None:
    pairs = ((b"cookie", b"_ga=1; a=2"), (b"x-tenant", b"7"))
    written = set(identify(pairs, rules_for_writes(SECRET)).elements)
    strict = compile_rules(Cache(ignore_cookies=("a",), neutral_fields=("x-tenant",)), SECRET)
    loose = compile_rules(Cache(ignore_cookies=()), SECRET)
    assert set(identify(pairs, strict).elements) <= written
    assert set(identify(pairs, loose).elements) == written


def test_a_field_of_unknown_meaning_counts_for_own_writes() -> None:
    assert credentials_of(with_field(b"x-tenant", b"7"))


@pytest.mark.parametrize("name", [b"origin", b"x-requested-with", b"content-type", b"x-forwarded-proto"])
def test_a_field_that_many_share_is_no_credential(name: bytes) -> None:
    assert credentials_of(with_field(name, b"x")) == set()


def test_with_bypass_requests_with_credentials_do_not_use_the_cache() -> None:
    rules = compile_rules(Cache(credentials="bypass"), SECRET)
    assert identify(with_field(b"cookie", b"a=1"), rules).bypass is Reason.CREDENTIALS
    assert identify(with_field(b"cookie", b"_ga=1"), rules).bypass is None
    assert identify(BROWSER, rules).bypass is None


def test_memory_more_cookies_than_a_browser_sends_are_not_cached() -> None:
    many = b"; ".join(b"c%d=1" % number for number in range(MAX_CREDENTIALS + 1))
    identity = identify(with_field(b"cookie", many), RULES)
    assert identity.bypass is Reason.CREDENTIALS
    assert len(identity.elements) <= MAX_CREDENTIALS


# --- admission


def admitted(
    method: bytes = b"GET",
    pairs: Pairs = BROWSER,
    settings: Cache | None = None,
    *,
    has_content: bool = False,
    is_upgrade: bool = False,
) -> Reason | None:
    return admission(
        method, identify(pairs, RULES), settings or Cache(), has_content=has_content, is_upgrade=is_upgrade
    )


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_get_and_head_may_use_the_cache(method: bytes) -> None:
    assert admitted(method) is None


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"PROPFIND", b"QUERY"])
def test_no_other_method_uses_the_cache(method: bytes) -> None:
    assert admitted(method) is Reason.METHOD


def test_what_passes_by_says_why() -> None:
    assert admitted(settings=Cache(ttl=0.0)) is Reason.DISABLED
    assert admitted(has_content=True) is Reason.CONTENT
    assert admitted(is_upgrade=True) is Reason.UPGRADE
    assert admitted(pairs=with_field(b"if-match", b'"x"')) is Reason.PRECONDITION
    assert admitted(pairs=with_field(b"if-unmodified-since", b"x")) is Reason.PRECONDITION


@pytest.mark.parametrize(
    "pair", [(b"cache-control", b"no-cache"), (b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
)
def test_deviation_rfc9111_5_2_1_a_clients_wish_does_not_get_it_past_the_cache(
    pair: tuple[bytes, bytes],
) -> None:
    assert admitted(pairs=(*BROWSER, pair)) is None


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"MKCOL", b"PURGE", b"get"])
def test_rfc9111_4_4_methods_not_known_to_be_safe_invalidate(method: bytes) -> None:
    assert method not in SAFE_METHODS


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
def test_safe_methods_do_not_invalidate(method: bytes) -> None:
    assert method in SAFE_METHODS


# --- the identity


def test_an_identity_is_plain_without_conditions_and_ranges() -> None:
    assert identify(BROWSER, RULES).is_plain
    assert not identify(with_field(b"range", b"bytes=0-1"), RULES).is_plain
    assert not identify(with_field(b"if-none-match", b'"x"'), RULES).is_plain


def test_memory_an_identity_remembers_few_variants() -> None:
    identity: Identity = identify(BROWSER, RULES)
    seen = [identity.variant((b"name%d" % n,), lambda _, names: names[0]) for n in range(100)]
    assert len(identity.variants) <= 8
    assert len(set(seen)) == 100
    assert all(one != other for one, other in pairwise(seen))
