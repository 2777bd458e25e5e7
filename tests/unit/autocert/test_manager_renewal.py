"""When the manager renews, whatever the CA suggests and the clock says."""

import asyncio
from pathlib import Path

from autocert.certificate import Certificate
from autocert.problem import Kind, Problem
from autocert.renewal import DAY, State
from tests.fakes.manager_world import A, B, World, states


async def test_renewal_names_its_predecessor_and_counts_nothing(world: World) -> None:
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        await world.clock.advance(70 * DAY)
        second = manager.certificate(A)
        assert first is not None
        assert second is not None
        assert first.fingerprint != second.fingerprint
        assert first.ari_id in world.ca.replaced
    assert len(world.ca.counted["set " + A]) == 1


async def test_a_window_that_moves_forward_renews_early(world: World) -> None:
    """A CA that revokes tells so by its windows; it is asked at least twice a day."""
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        await world.clock.advance(3 * DAY)
        world.ca.renewal_share = -0.1
        await world.clock.advance(DAY / 2)
        assert manager.certificate(A) is not first


async def test_a_window_that_is_always_past_does_not_make_a_loop(world: World) -> None:
    world.ca.renewal_share = -0.1
    async with world.manager(A):
        await world.clock.advance(2 * DAY)
    assert 4 <= world.ca.calls["new_order"] <= 10


async def test_a_clock_that_is_far_ahead_does_not_make_a_loop(world: World) -> None:
    async with world.manager(A):
        world.clock.set(400 * DAY)
        await world.clock.advance(DAY)
    assert world.ca.calls["new_order"] <= 6


async def test_without_windows_two_thirds_of_the_lifetime_count(memory_folder: Path) -> None:
    world = World(memory_folder, ari=False)
    async with world.manager(A) as manager:
        (status,) = manager.statuses()
        assert status.renews_because == "two thirds of its lifetime"
        first = manager.certificate(A)
        await world.clock.advance(55 * DAY)
        assert manager.certificate(A) is first
        await world.clock.advance(6 * DAY)
        assert manager.certificate(A) is not first


async def test_a_clock_set_forward_and_back_keeps_waits_and_orders_little(world: World) -> None:
    world.ca.failing = {B}
    async with world.manager(A, B) as manager:
        orders = world.ca.calls["new_order"]
        world.clock.set(400 * DAY)
        await world.clock.advance(10)
        # A seems to have ended, which is worth an order; B waits on as long as it was to wait.
        assert world.ca.calls["new_order"] <= orders + 2
        world.clock.set(-400 * DAY)
        await world.clock.advance(40)
        assert states(manager)[A] is State.VALID
        assert world.ca.over_limit == []
        await world.clock.advance(30 * 60)
        assert states(manager)[B] is State.BACKOFF


async def test_a_clock_set_back_by_years_does_not_stop_it(world: World) -> None:
    world.ca.failing = {A}
    async with world.manager(A):
        world.clock.set(-10 * 365 * DAY)
        await world.clock.advance(30)
    async with world.manager(A) as manager:
        world.ca.failing.clear()
        await world.clock.advance(11 * 60)
        assert isinstance(manager.certificate(A), Certificate)


async def test_renew_on_request_even_in_a_wait(world: World) -> None:
    world.ca.failing = {A}
    async with world.manager(A) as manager:
        task = asyncio.create_task(manager.renew(A, 10.0))
        await world.clock.advance(1)
        failed = await task
        assert isinstance(failed, Problem)
        world.ca.failing.clear()
        task = asyncio.create_task(manager.renew(A, 10.0))
        await world.clock.advance(1)
        first = await task
        assert isinstance(first, Certificate)
        task = asyncio.create_task(manager.renew(A, 10.0))
        await world.clock.advance(1)
        second = await task
        assert isinstance(second, Certificate)
        assert second.fingerprint != first.fingerprint


async def test_the_budget_holds_also_against_requests(memory_folder: Path) -> None:
    world = World(memory_folder, ari=False)
    async with world.manager(A) as manager:
        outcomes = []
        for _ in range(10):
            task = asyncio.create_task(manager.renew(A, 10.0))
            await world.clock.advance(1)
            outcomes.append(await task)
        assert world.ca.over_limit == []
        last = outcomes[-1]
        assert isinstance(last, Problem)
        assert last.kind is Kind.OWN_BUDGET
        assert "certificates for the same names in a week" in last.what_is_wrong
        assert states(manager)[A] is State.VALID
        assert sum(isinstance(outcome, Certificate) for outcome in outcomes) == 3
