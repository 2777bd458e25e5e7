"""CAs know our accounts by the addresses that the configuration has, one or several, from the next order on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from autocert.contacts import Contacts
from autocert.manager import Autocert
from autocert.problem import Kind
from autocert.settings import Authority, Settings, Wanted
from tests.fakes.autocert_world import FastDisk, ManualClock, Recorder
from tests.fakes.manager_world import surroundings
from tests.fakes.sim_ca import SimCa

A, B, C = "a.example.com", "b.example.com", "c.example.com"


class World:
    """A CA, and managers on one storage folder."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.ca = SimCa(self.clock)
        self.listener = Recorder()
        self._settings = Settings(storage=folder / "ssl")

    @asynccontextmanager
    async def manager(self) -> AsyncIterator[Autocert]:
        found = Autocert(self._settings, self.listener, surroundings(self.clock, self.ca, FastDisk()))
        await found.start()
        try:
            yield found
        finally:
            await found.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def wanted(name: str, email: str = "") -> Wanted:
    return Wanted(names=(name,), authority=Authority(email=email))


async def test_a_changed_address_is_told_once(world: World) -> None:
    ca = world.ca
    async with world.manager() as manager:
        await manager.want([wanted(A, "old@example.com")])
        await world.clock.advance(1)
        assert list(ca.contacts.values()) == [("old@example.com",)]
        assert "update_contact" not in ca.calls
        await manager.want([wanted(A, "new@example.com"), wanted(B, "new@example.com")])
        await world.clock.advance(1)
        assert list(ca.contacts.values()) == [("new@example.com",)]
    async with world.manager() as manager:
        await manager.want([wanted(B, "new@example.com"), wanted(C, "new@example.com")])
        await world.clock.advance(1)
        assert ca.calls["update_contact"] == 1
        await manager.want([wanted(C), wanted("d.example.com")])
        await world.clock.advance(1)
        assert list(ca.contacts.values()) == [()]


async def test_a_refused_address_costs_no_certificate_and_is_told(world: World) -> None:
    ca = world.ca
    async with world.manager() as manager:
        await manager.want([wanted(A)])
        await world.clock.advance(1)
        ca.refused_contacts.add("bad@example.com")
        await manager.want([wanted(A, "bad@example.com"), wanted(B, "bad@example.com")])
        await world.clock.advance(60)
        await manager.want([wanted(name, "bad@example.com") for name in (A, B, C)])
        await world.clock.advance(60)
        for name in (A, B, C):
            assert manager.certificate(name) is not None
    assert ca.calls["update_contact"] == 1
    assert world.listener.kinds("") == [Kind.EMAIL_REFUSED.value]


def test_sites_that_share_an_account_share_its_addresses() -> None:
    contacts = Contacts()
    one, two = Authority(email="one@example.com"), Authority(email="two@example.com")
    assert contacts.of(one) == ("one@example.com",)
    contacts.want([two, one, Authority()])
    assert contacts.of(one) == contacts.of(two) == contacts.of(Authority())
    assert contacts.of(one) == ("one@example.com", "two@example.com")
    staging = Authority(directory="letsencrypt-staging")
    assert contacts.of(staging) == ()
