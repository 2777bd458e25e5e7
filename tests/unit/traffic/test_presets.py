"""The presets hold what they say, and never our own default gateway."""

from datetime import date
from ipaddress import ip_address, ip_network

import pytest

from proxy.traffic.presets import CLOUDFLARE, CLOUDFLARE_PUBLISHED, trusted_proxies


def packed(text: str) -> bytes:
    return ip_address(text).packed


@pytest.mark.parametrize("text", ["104.16.0.1", "172.64.1.1", "2606:4700::1", "2a06:98c7:ffff::1"])
def test_cloudflare_addresses_are_trusted_by_that_name_alone(text: str) -> None:
    assert packed(text) in trusted_proxies(["cloudflare"], [])
    assert packed(text) not in trusted_proxies(["private"], [])
    assert packed(text) not in trusted_proxies([], [])


def test_the_list_is_dated_and_names_each_network_once() -> None:
    assert date.fromisoformat(CLOUDFLARE_PUBLISHED) < date(2026, 12, 1)
    assert len(set(CLOUDFLARE)) == len(CLOUDFLARE) == 22


@pytest.mark.parametrize("text", ["127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.0.1", "::1", "fd12::1"])
def test_private_addresses_are_trusted_by_that_name(text: str) -> None:
    assert packed(text) in trusted_proxies(["private"], [])


@pytest.mark.parametrize(
    "text", ["172.32.0.0", "100.64.0.1", "169.254.1.1", "fe80::1", "192.0.2.1", "2001:db8::1"]
)
def test_addresses_behind_which_clients_may_be_are_not_private(text: str) -> None:
    assert packed(text) not in trusted_proxies(["private"], [])


def test_our_own_gateway_is_never_private() -> None:
    gateways = [packed("172.17.0.1"), packed("fd00::1")]
    trusted = trusted_proxies(["private"], gateways)
    assert not any(gateway in trusted for gateway in gateways)
    assert packed("172.17.0.2") in trusted
    assert packed("172.17.0.0") in trusted
    assert packed("fd00::2") in trusted


def test_a_gateway_that_the_list_names_is_trusted() -> None:
    trusted = trusted_proxies(["private", ip_network("172.17.0.1/32")], [packed("172.17.0.1")])
    assert packed("172.17.0.1") in trusted
