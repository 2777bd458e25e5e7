"""Range sets answer as the networks that they were made of would, one by one."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.schema import Network
from proxy.traffic.address_ranges import AddressRanges


def networks(*texts: str) -> list[Network]:
    return [ip_network(text) for text in texts]


def packed(text: str) -> bytes:
    return ip_address(text).packed


def test_an_empty_set_is_falsy_and_contains_nothing() -> None:
    assert not AddressRanges.of([])
    assert packed("192.0.2.1") not in AddressRanges()
    assert packed("::1") not in AddressRanges()


def test_ranges_that_overlap_or_touch_are_joined() -> None:
    ranges = AddressRanges.of(networks("10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.3.0/24"))
    assert len(ranges) == 2
    assert packed("10.0.1.255") in ranges
    assert packed("10.0.2.0") not in ranges


@pytest.mark.parametrize("text", ["0.0.0.0", "255.255.255.255", "128.0.0.1"])
def test_everything_of_a_family_is_only_of_that_family(text: str) -> None:
    assert packed(text) in AddressRanges.of(networks("0.0.0.0/0"))
    assert packed(text) not in AddressRanges.of(networks("::/0"))


@pytest.mark.parametrize("text", ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"])
def test_the_ends_of_the_address_space_are_contained(text: str) -> None:
    assert packed(text) in AddressRanges.of(networks("::/0"))
    assert packed(text) in AddressRanges.of(networks(f"{text}/128"))


def test_networks_at_the_end_of_the_address_space_are_joined() -> None:
    assert len(AddressRanges.of(networks("255.255.255.254/32", "255.255.255.255/32", "0.0.0.0/32"))) == 2


def test_a_mapped_network_holds_ipv4_addresses() -> None:
    ranges = AddressRanges.of(networks("::ffff:10.0.0.0/104"))
    assert packed("10.1.2.3") in ranges
    assert packed("11.0.0.0") not in ranges


def test_single_addresses_can_be_taken_out() -> None:
    holes = [packed(text) for text in ("10.0.0.0", "10.0.0.7", "10.0.0.255", "192.0.2.1", "::1")]
    ranges = AddressRanges.of(networks("10.0.0.0/24", "::1/128", "::8/128"), without=holes)
    assert [text for text in ("10.0.0.0", "10.0.0.7", "10.0.0.255", "::1") if packed(text) in ranges] == []
    assert all(packed(text) in ranges for text in ("10.0.0.1", "10.0.0.6", "10.0.0.8", "10.0.0.254", "::8"))


def test_a_union_holds_what_either_holds() -> None:
    left = AddressRanges.of(networks("10.0.0.0/25", "2001:db8::/33"))
    right = AddressRanges.of(networks("10.0.0.128/25", "2001:db8:8000::/33"))
    assert left.union(right) == AddressRanges.of(networks("10.0.0.0/24", "2001:db8::/32"))


def test_a_hundred_thousand_rules_are_searched_in_steps_that_halve() -> None:
    class Counted(bytes):
        """An address that counts how often it is compared."""

        comparisons = 0

        def __lt__(self, other: object) -> bool:
            Counted.comparisons += 1
            return bytes.__lt__(self, bytes(other))  # type: ignore[call-overload]

    few, many = (
        AddressRanges.of(IPv4Network((index * 20_000, 32)) for index in range(count))
        for count in (10, 100_000)
    )
    probe = Counted(IPv4Address(99_999 * 20_000).packed)
    assert len(few) == 10
    assert len(many) == 100_000
    assert probe in many
    assert Counted.comparisons <= 17


ADDRESS4 = st.integers(0, 63).map(lambda low: IPv4Address(0xFFFFFFC0 + low if low > 31 else low))
NETWORK4 = st.tuples(ADDRESS4, st.integers(26, 32)).map(lambda pair: IPv4Network(pair, strict=False))
ADDRESS6 = st.integers(0, 63).map(lambda low: IPv6Address((1 << 128) - 64 + low if low > 31 else low))
NETWORK6 = st.tuples(ADDRESS6, st.integers(122, 128)).map(lambda pair: IPv6Network(pair, strict=False))


@given(
    st.lists(NETWORK4 | NETWORK6, max_size=12),
    st.lists(NETWORK4 | NETWORK6, max_size=6),
    st.lists(ADDRESS4 | ADDRESS6, max_size=6),
)
def test_a_set_answers_as_its_networks_would(
    first: list[Network], second: list[Network], holes: list[IPv4Address | IPv6Address]
) -> None:
    ranges = AddressRanges.of(first, without=[hole.packed for hole in holes]).union(AddressRanges.of(second))
    probes: list[IPv4Address | IPv6Address] = []
    probes += [IPv4Address(low) for low in (*range(32), *range(0xFFFFFFC0, 1 << 32))]
    probes += [IPv6Address(low) for low in (*range(32), *range((1 << 128) - 64, 1 << 128))]
    for probe in probes:
        of_first = probe not in holes and any(probe in network for network in first)
        assert (probe.packed in ranges) == (of_first or any(probe in network for network in second))
