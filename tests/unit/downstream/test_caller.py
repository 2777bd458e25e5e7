"""What a worker knows of an address: found out once, anew after a reload, and only so many are kept."""

from collections.abc import AsyncIterator

import pytest

from proxy.downstream import caller as module
from proxy.downstream.admission import ConnectionBounds
from proxy.downstream.caller import Callers
from proxy.traffic.address import Address, parse_address
from proxy.traffic.connection_limits import ConnectionRows, SharedConnectionCounter
from proxy.traffic.limiter import scope_key
from tests.fakes.gateway import Gateway, configuration

SITE = 'domains = ["a.test"]\nupstream = "http://127.0.0.1:1"'


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None
    return found


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway(configuration(SITE, client_ip='trusted = ["10.0.0.0/8"]')) as gateway:
        yield gateway


async def test_an_address_is_found_out_once(gateway: Gateway) -> None:
    snapshot, callers = gateway.plane._pipeline.snapshot, Callers(None)
    one = callers.caller(address("192.0.2.1"), snapshot)
    assert callers.caller(address("192.0.2.1"), snapshot) is one
    assert (one.client, one.is_trusted, one.counted_as) == ((b"192.0.2.1", b"\xc0\0\2\1"), False, None)
    assert b"192.0.2.1" in one.lines


async def test_after_a_reload_it_is_found_out_anew(gateway: Gateway) -> None:
    callers = Callers(None)
    proxy = address("10.1.1.1")
    before = callers.caller(proxy, gateway.plane._pipeline.snapshot)
    gateway.apply(configuration(SITE))
    after = callers.caller(proxy, gateway.plane._pipeline.snapshot)
    assert (before.is_trusted, after.is_trusted) == (True, False)


async def test_trusted_proxies_are_not_counted_and_others_by_their_fingerprint(gateway: Gateway) -> None:
    rows = ConnectionRows.create()
    counter = SharedConnectionCounter(rows.memory, rows.claim())
    bounds = ConnectionBounds(counter, scope_key(bytes(32), "connections"))
    callers, snapshot = Callers(bounds), gateway.plane._pipeline.snapshot
    assert callers.caller(address("10.1.1.1"), snapshot).counted_as is None
    client = address("2001:db8::1")
    assert callers.caller(client, snapshot).counted_as == bounds.client(client.packed, 64)
    counter.close()


@pytest.mark.sources
async def test_only_so_many_addresses_are_remembered(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    snapshot, callers = gateway.plane._pipeline.snapshot, Callers(None)
    for number in range(10):
        callers.caller(address(f"192.0.2.{number}"), snapshot)
        assert len(callers._known) <= 3
    callers.forget()
    assert not callers._known
