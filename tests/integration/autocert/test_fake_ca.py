"""The manager over real http against a CA that misbehaves as Pebble cannot."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from autocert.certificate import Certificate
from autocert.manager import Autocert
from autocert.problem import Kind, Problem
from autocert.renewal import DAY
from autocert.settings import Authority, Settings, Wanted
from autocert.surroundings import Surroundings
from tests.fakes.acme_ca import FakeCa, Reply, refusal
from tests.fakes.autocert_world import NoResolver, Recorder, SkippableClock

A = "a.example.com"
PATIENCE = 60.0


class World:
    """A CA, a folder, a clock."""

    def __init__(self, ca: FakeCa, folder: Path) -> None:
        self.ca = ca
        self.listener = Recorder()
        self.clock = SkippableClock()
        self.settings = Settings(storage=folder / "ssl", call_seconds=PATIENCE, order_seconds=PATIENCE)

    def wanted(self, *names: str, profile: str = "", **changes: str) -> Wanted:
        return Wanted(
            names=names,
            profile=profile,
            authority=Authority(directory=self.ca.directory, **changes),
            group=True,
        )

    @asynccontextmanager
    async def manager(self, *names: str, profile: str = "", **changes: str) -> AsyncIterator[Autocert]:
        surroundings = Surroundings(clock=self.clock, resolver=NoResolver())
        found = Autocert(self.settings, self.listener, surroundings)
        await found.start()
        try:
            if names:
                await found.want([self.wanted(*names, profile=profile, **changes)])
            yield found
        finally:
            await found.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with FakeCa() as ca:
        yield World(ca, tmp_path)


@pytest.fixture
async def impatient(world: World) -> World:
    """Return a world in which the CA gets a second for an answer."""
    world.settings = replace(world.settings, call_seconds=1.0)
    return world


@pytest.fixture
async def modern(tmp_path: Path) -> AsyncIterator[World]:
    """Return a world whose CA knows renewal windows."""
    async with FakeCa(renewal_information=True) as ca:
        yield World(ca, tmp_path)


def had(found: Certificate | Problem) -> Certificate:
    assert isinstance(found, Certificate), found
    return found


def missed(found: Certificate | Problem) -> Problem:
    assert isinstance(found, Problem)
    return found


async def test_a_limit_of_the_ca_is_waited_out_as_long_as_it_says(world: World) -> None:
    words = "too many certificates already issued"
    world.ca.script["newOrder"] = [refusal("rateLimited", words, 429, Retry_After="7200")]
    async with world.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CA_LIMIT
        assert found.detail == f"rateLimited: {words}"
        assert found.next_attempt is not None
        assert found.next_attempt - world.clock.wall() > 7100
        world.clock.skip(7000)
        found = missed(await manager.wait_for(A, 1.0))
        assert world.ca.count("newOrder") == 1
        world.clock.skip(600)
        await world.listener.until(lambda: A in world.listener.served)


async def test_a_page_of_html_with_503_is_trouble_of_the_ca(world: World) -> None:
    headers = {"Content-Type": "text/html", "Retry-After": "900"}
    world.ca.script["directory"] = [Reply(503, b"<html>maintenance</html>", headers)]
    async with world.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CA_TROUBLE
        assert found.next_attempt is not None
        assert found.next_attempt - world.clock.wall() > 800


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(200, {"x": "y" * 9000}, drip=0.005)])
async def test_a_hanging_or_dripping_directory_is_slow_and_no_more(impatient: World, reply: Reply) -> None:
    impatient.ca.script["directory"] = [reply]
    async with impatient.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CA_SLOW
        while A not in impatient.listener.served:  # a machine that stalls is a slow CA once more
            impatient.clock.skip(70)
            await asyncio.sleep(0.01)


async def test_a_waiter_s_time_is_kept_whatever_the_ca_does(world: World) -> None:
    world.ca.script["directory"] = [Reply(hang=True)]
    async with world.manager(A) as manager:
        found = missed(await manager.wait_for(A, 0.2))
        assert found.kind is Kind.CA_SLOW
        assert manager.statuses()[0].problem is None  # the CA's own time is not over


async def test_an_order_that_is_processed_for_long(world: World) -> None:
    world.ca.processing_polls = 2
    world.ca.processing_headers = {"Retry-After": "1"}
    async with world.manager(A) as manager:
        task = asyncio.create_task(manager.wait_for(A, PATIENCE))
        while not task.done():
            world.clock.skip(1.0)
            await asyncio.sleep(0.01)
        had(await task)
        assert world.ca.count("finalize") == 1


async def test_a_failed_validation_names_the_one_that_failed(world: World) -> None:
    world.ca.failing = {"b.example.com": {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids"}}
    async with world.manager(A, "b.example.com") as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CAA
        assert "b.example.com" in found.what_is_wrong


async def test_a_renewal_names_its_predecessor(modern: World) -> None:
    now = datetime.datetime.now(datetime.UTC)
    modern.ca.window = lambda _ident: (
        (now + datetime.timedelta(days=50)).isoformat(),
        (now + datetime.timedelta(days=51)).isoformat(),
    )
    async with modern.manager(A) as manager:
        first = had(await manager.wait_for(A, PATIENCE))
        assert "replaces" not in modern.ca.last("newOrder")
        modern.clock.skip(52 * DAY)
        await modern.listener.until(lambda: modern.listener.served[A].fingerprint != first.fingerprint)
        assert modern.ca.last("newOrder")["replaces"] == first.ari_id
        assert manager.statuses()[0].renews_because in {
            "the CA's suggested window",
            "two thirds of its lifetime",
        }


async def test_a_refused_successor_is_ordered_as_any_other(modern: World) -> None:
    modern.ca.window = lambda _ident: ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    async with modern.manager(A) as manager:
        first = had(await manager.wait_for(A, PATIENCE))
        modern.ca.script["newOrder"] = [refusal("alreadyReplaced", "", 409)]
        second = had(await manager.renew(A, PATIENCE))
        assert second.fingerprint != first.fingerprint
        orders = [request.payload for request in modern.ca.requests if request.kind == "newOrder"]
        assert ["replaces" in order for order in orders] == [False, True, False]


async def test_profiles_are_asked_for(world: World) -> None:
    async with world.manager(A, profile="shortlived") as manager:
        assert had(await manager.wait_for(A, PATIENCE)).profile == "shortlived"
        assert world.ca.last("newOrder")["profile"] == "shortlived"


async def test_an_unknown_profile_is_explained(world: World) -> None:
    world.ca.script["newOrder"] = [refusal("invalidProfile", "no such profile", 400)]
    async with world.manager(A, profile="nonsense") as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.PROFILE_UNKNOWN


async def test_a_reset_directory_is_registered_with_again(world: World) -> None:
    async with world.manager(A) as manager:
        had(await manager.wait_for(A, PATIENCE))
        world.ca.accounts.clear()
        had(await manager.renew(A, PATIENCE))
        assert world.ca.count("newAccount") == 2


async def test_an_address_is_sent_to_the_ca_only_when_given(world: World) -> None:
    async with world.manager(A) as manager:
        had(await manager.wait_for(A, PATIENCE))
        assert "contact" not in world.ca.last("newAccount")


async def test_two_cas_have_an_account_each(world: World) -> None:
    async with FakeCa() as other, world.manager() as manager:
        theirs = Wanted(names=("b.example.com",), authority=Authority(directory=other.directory))
        await manager.want([world.wanted(A), theirs])
        had(await manager.wait_for(A, PATIENCE))
        had(await manager.wait_for("b.example.com", PATIENCE))
        assert len(set(world.listener.thumbprints.values())) == 2
        assert world.ca.count("newOrder") == other.count("newOrder") == 1


async def test_a_wrong_chain_is_not_taken(world: World) -> None:
    world.ca.script["certificate"] = [
        Reply(200, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    ]
    async with world.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.WRONG_CERTIFICATE


@pytest.mark.parametrize(
    "kind", ["newOrder", "authorization", "challenge", "finalize", "order", "certificate"]
)
async def test_a_ca_that_drops_at_any_step_costs_no_second_order(world: World, kind: str) -> None:
    """The order is gone on with after the wait; only one that was never taken is placed again."""
    world.ca.script[kind] = [Reply(500, b"oops")]
    async with world.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CA_TROUBLE
        world.clock.skip(70)
        await world.listener.until(lambda: A in world.listener.served)
    assert world.ca.count("newOrder") == (2 if kind == "newOrder" else 1)
