"""Buckets have whole microseconds; identities and fingerprints keep apart what must be kept apart."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.limiter import (
    CLOCK_SKEW_US,
    LONGEST_DEBT_US,
    TokenBucket,
    bucket_fingerprint,
    client_identity,
    scope_key,
)

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("count", "seconds", "period_us"),
    [(150, 60, 400_000), (10, 1, 100_000), (1, 3600, 3_600_000_000), (7, 60, 8_571_429), (10**9, 1, 1)],
)
def test_a_rate_becomes_a_period_that_is_never_too_short(count: int, seconds: int, period_us: int) -> None:
    bucket = TokenBucket.of(count, seconds, 150 if count > 1 else 1)
    assert bucket.period_us == period_us
    assert bucket.ceiling_us == bucket.burst * period_us + CLOCK_SKEW_US
    assert bucket.tolerance_us == (bucket.burst - 1) * period_us


@pytest.mark.parametrize(("period_us", "burst"), [(0, 1), (1, 0), (-1, 5), (1, -1)])
def test_a_bucket_that_never_gives_a_token_is_refused(period_us: int, burst: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TokenBucket(period_us, burst)


def test_a_burst_that_takes_more_than_fifty_days_to_refill_is_refused_with_the_largest_possible() -> None:
    assert TokenBucket.of(1, 3600, 1221).ceiling_us <= LONGEST_DEBT_US
    with pytest.raises(ValueError, match="burst 1222 is too large for this rate: at most 1221"):
        TokenBucket.of(1, 3600, 1222)


@pytest.mark.parametrize(
    ("address", "prefix", "identity"),
    [
        ("192.0.2.1", 64, "192.0.2.1"),
        ("192.0.2.1", 0, "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", 64, "2001:db8:1:2::"),
        ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
        ("2001:db8:1:2ff:3:4:5:6", 56, "2001:db8:1:200::"),
        ("2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::"),
        ("2001:db8:1:2:3:4:5:6", 0, "::"),
        # Behind a NAT64 translator every IPv4 client is one of its own.
        ("64:ff9b::192.0.2.1", 64, "64:ff9b::192.0.2.1"),
        ("64:ff9b:1::192.0.2.1", 64, "64:ff9b:1::"),
        # With 6to4 one IPv4 address has 65,536 networks of 64 bits.
        ("2002:c000:201:ffff:1:2:3:4", 64, "2002:c000:201::"),
        ("2002:c000:201:ffff:1:2:3:4", 128, "2002:c000:201::"),
        ("2002:c000:201:ffff:1:2:3:4", 32, "2002:c000::"),
    ],
)
def test_ipv6_clients_are_limited_by_their_network(address: str, prefix: int, identity: str) -> None:
    assert client_identity(ip_address(address).packed, prefix) == ip_address(identity).packed


@given(st.integers(0, 128), st.binary(min_size=16, max_size=16))
def test_an_identity_keeps_the_prefix_and_clears_the_rest(prefix: int, packed: bytes) -> None:
    identity = client_identity(packed, prefix)
    number, kept = int.from_bytes(packed, "big"), int.from_bytes(identity, "big")
    if not packed.startswith((bytes.fromhex("0064ff9b0000000000000000"), b"\x20\x02")):
        assert number >> (128 - prefix) == kept >> (128 - prefix)
        assert kept & ((1 << (128 - prefix)) - 1) == 0


def test_an_ipv4_address_and_an_ipv6_network_of_the_same_octets_are_two_clients() -> None:
    scope = scope_key(KEY)
    ipv4 = client_identity(bytes((32, 1, 13, 184)), 32)
    ipv6 = client_identity(ip_address("2001:db8::1").packed, 32)
    assert bucket_fingerprint(scope, ipv4) != bucket_fingerprint(scope, ipv6)


def test_scopes_are_told_apart_whatever_their_names() -> None:
    scopes = [
        (),
        ("site",),
        ("site", ""),
        ("site", "a"),
        ("site", "ab"),
        ("sitea", "b"),
        ("route", "a", "/b"),
    ]
    scopes += [("route", "a/", "b"), ("route", "a", "/b", ""), ("\0", "a"), ("", "\0a"), ("ü",), ("u\u0308",)]
    assert len({scope_key(KEY, *scope) for scope in scopes}) == len(scopes)


def test_another_key_gives_other_fingerprints() -> None:
    identity = bytes((192, 0, 2, 1))
    other = bytes(32)
    assert scope_key(KEY, "site", "a") != scope_key(other, "site", "a")
    assert bucket_fingerprint(scope_key(KEY), identity) != bucket_fingerprint(scope_key(other), identity)


def test_fingerprints_are_the_same_in_every_process_and_fill_64_bits() -> None:
    scope = scope_key(KEY, "site", "app.example.com")
    fingerprints = [bucket_fingerprint(scope, index.to_bytes(4, "big")) for index in range(2000)]
    assert fingerprints[0] == 0x3B47A39891940442
    assert len(set(fingerprints)) == 2000
    assert all(800 < sum(fingerprint >> bit & 1 for fingerprint in fingerprints) < 1200 for bit in range(64))
