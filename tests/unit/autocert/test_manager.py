"""The manager as its callers see it, over a CA and a clock of the test's own."""

import asyncio

from autocert.any_name import BURST, SECONDS_EACH
from autocert.certificate import LOCAL, Certificate
from autocert.problem import Kind, Problem
from autocert.renewal import DAY, State
from autocert.settings import Authority, Wanted
from tests.fakes.manager_world import A, B, World, states


async def test_a_wanted_name_gets_its_certificate(world: World) -> None:
    async with world.manager(A, B) as manager:
        assert states(manager) == {A: State.VALID, B: State.VALID}
        assert set(world.listener.served) == {A, B}
        assert world.listener.served[A] is manager.certificate(A)
        assert world.listener.served[A].covers([A])
        assert not world.listener.served[A].covers([B])


async def test_a_group_is_one_certificate(world: World) -> None:
    async with world.manager(A, B, group=True) as manager:
        assert world.listener.served[A] is world.listener.served[B]
        assert world.ca.calls["new_order"] == 1
        assert len(manager.statuses()) == 1


async def test_thumbprints_are_announced_before_anything_is_ordered(world: World) -> None:
    orders: list[int] = []
    world.listener.on_thumbprint = lambda _thumbprint: orders.append(world.ca.calls["new_order"])
    async with world.manager(A):
        assert orders[0] == 0
        assert set(world.listener.thumbprints) == {A}
        assert world.listener.pending == set()


async def test_twenty_restarts_ask_nothing(world: World) -> None:
    async with world.manager(A):
        await world.clock.advance(60)
    calls = dict(world.ca.calls)
    for _ in range(20):
        world.listener.served.clear()
        async with world.manager(A) as manager:
            assert states(manager) == {A: State.VALID}
            assert A in world.listener.served
            await world.clock.advance(60)
    assert dict(world.ca.calls) == calls


async def test_fifty_waiters_share_one_order(world: World) -> None:
    async with world.manager() as manager:
        world.clock.set(0)
        await manager.want([Wanted(names=(A,))])
        waiters = [asyncio.create_task(manager.wait_for(A, 15.0)) for _ in range(50)]
        await world.clock.advance(2)
        found = await asyncio.gather(*waiters)
        assert all(isinstance(one, Certificate) for one in found)
        assert world.ca.calls["new_order"] == 1


async def test_who_leaves_cancels_his_wait_alone(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A,))])
        leaver = asyncio.create_task(manager.wait_for(A, 15.0))
        stayer = asyncio.create_task(manager.wait_for(A, 15.0))
        await asyncio.sleep(0)
        leaver.cancel()
        await world.clock.advance(2)
        assert isinstance(await stayer, Certificate)


async def test_waiting_ends_in_time_with_a_reason(world: World) -> None:
    world.ca.before = lambda _call: None
    async with world.manager() as manager:
        world.ca.is_down = True
        await manager.want([Wanted(names=(A,))])
        waiter = asyncio.create_task(manager.wait_for(A, 15.0))
        await world.clock.advance(1)
        found = await waiter
        assert isinstance(found, Problem)
        assert found.kind is Kind.CA_DOWN
        assert found.what_is_wrong == "Let's Encrypt cannot be reached."


async def test_what_is_known_to_fail_for_longer_is_told_at_once(world: World) -> None:
    world.ca.failing = {A}
    async with world.manager(A) as manager:
        steady = world.clock.steady()
        found = await manager.wait_for(A, 15.0)
        assert isinstance(found, Problem)
        assert found.kind is Kind.PORT_CLOSED
        assert found.next_attempt is not None
        assert found.next_attempt > world.clock.wall()
        assert world.clock.steady() == steady


async def test_a_name_nobody_wants_is_refused(world: World) -> None:
    async with world.manager(A) as manager:
        for found in (await manager.wait_for("evil.com", 15.0), await manager.renew("evil.com", 15.0)):
            assert isinstance(found, Problem)
            assert found.kind is Kind.NOT_WANTED
        assert world.ca.calls["new_order"] == 1


async def test_names_are_found_in_any_spelling(world: World) -> None:
    async with world.manager(A) as manager:
        assert manager.certificate("A.Example.COM.") is not None
        assert isinstance(await manager.wait_for("A.EXAMPLE.COM", 1.0), Certificate)


async def test_local_names_get_certificates_of_the_local_ca_with_a_warning(world: World) -> None:
    async with world.manager("localhost", A) as manager:
        found = manager.certificate("localhost")
        assert found is not None
        assert found.origin == LOCAL
        assert world.listener.kinds("localhost") == [Kind.LOCAL_CA.value]
        assert world.ca.calls["new_order"] == 1
        await world.clock.advance(61 * DAY)
        assert manager.certificate("localhost") is not found


async def test_self_signed_by_choice_asks_no_ca_and_warns_of_nothing(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A,), authority=Authority(mode="self-signed"))])
        await world.clock.advance(1)
        found = manager.certificate(A)
        assert found is not None
        assert found.origin == LOCAL
        assert not world.ca.calls
        assert world.listener.problems == []


async def test_any_name_under_a_star(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=("*",), authority=Authority(mode="self-signed"))])
        await world.clock.advance(1)
        found = await manager.wait_for("whatever.example", 1.0)
        assert isinstance(found, Certificate)
        assert found.covers(["whatever.example"])
        assert await manager.wait_for("WHATEVER.example.", 1.0) is found
        assert isinstance(await manager.wait_for("not a name", 1.0), Problem)
        assert manager.certificate("*") is not None


async def test_a_flood_of_names_under_a_star_is_slowed_down(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=("*",), authority=Authority(mode="self-signed"))])
        await world.clock.advance(1)
        for number in range(BURST):
            assert isinstance(await manager.wait_for(f"n{number}.example", 1.0), Certificate)
        refused = await manager.wait_for("one-more.example", 1.0)
        assert isinstance(refused, Problem)
        assert refused.kind is Kind.OWN_BUDGET
        assert isinstance(await manager.wait_for("n0.example", 1.0), Certificate)
        await world.clock.advance(SECONDS_EACH)
        assert isinstance(await manager.wait_for("one-more.example", 1.0), Certificate)
        assert isinstance(await manager.wait_for("two-more.example", 1.0), Problem)
