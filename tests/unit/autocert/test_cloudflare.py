"""Cloudflare's addresses are known as such."""

import pytest

from autocert.cloudflare import NETWORKS, is_cloudflare
from proxy.traffic.presets import CLOUDFLARE


@pytest.mark.parametrize("address", ["104.16.0.1", "172.67.255.255", "131.0.75.255", "2606:4700::6810:84e5"])
def test_its_own(address: str) -> None:
    assert is_cloudflare(address)


def test_they_are_those_that_the_client_address_knows() -> None:
    assert set(NETWORKS) == set(CLOUDFLARE)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "104.15.255.255", "131.0.76.0", "127.0.0.1", "2001:db8::1", "::1"]
)
def test_others(address: str) -> None:
    assert not is_cloudflare(address)
