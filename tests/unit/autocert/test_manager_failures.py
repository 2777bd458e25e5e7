"""What the manager does while orders fail, and when they can succeed again."""

import asyncio
import itertools
from pathlib import Path

from autocert.certificate import Certificate
from autocert.problem import Kind
from autocert.renewal import DAY, State
from autocert.settings import Authority, Wanted
from tests.fakes.manager_world import A, B, World, states


async def test_failures_are_retried_after_1_10_100_minutes_and_daily(world: World) -> None:
    world.ca.failing = {A}
    moments: list[float] = []
    world.ca.before = lambda call: moments.append(world.clock.steady() / 60) if call == "new_order" else None
    async with world.manager(A):
        await world.clock.advance(3.5 * DAY)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)][:5]
    for gap, minutes in zip(gaps, [1, 10, 100, 1440, 1440], strict=True):
        assert minutes - 1 <= gap <= minutes * 1.05 + 2
    assert world.ca.over_limit == []


async def test_the_wait_survives_a_restart(world: World) -> None:
    world.ca.failing = {A}
    async with world.manager(A):
        await world.clock.advance(800)
    orders = world.ca.calls["new_order"]
    for _ in range(10):
        async with world.manager(A) as manager:
            assert states(manager) == {A: State.BACKOFF}
            (status,) = manager.statuses()
            assert status.problem is not None
            assert status.problem.kind is Kind.PORT_CLOSED
    assert world.ca.calls["new_order"] == orders


async def test_one_name_s_failure_does_not_delay_another(world: World) -> None:
    world.ca.failing = {f"bad{n}.example.org" for n in range(20)}
    async with world.manager(*sorted(world.ca.failing), A) as manager:
        await world.clock.advance(5)
        assert states(manager)[A] is State.VALID


async def test_names_with_waiting_handshakes_go_first(world: World) -> None:
    names = [f"n{n:02}.example.org" for n in range(40)]
    order: list[str] = []
    async with world.manager() as manager:
        world.ca.is_down = True
        await manager.want([Wanted(names=tuple(names))])
        await world.clock.advance(1)
        world.ca.is_down = False
        waiter = asyncio.create_task(manager.wait_for(names[-1], 70.0))
        world.listener.changes.clear()
        await world.clock.advance(75)
        order = world.listener.changes
        assert isinstance(await waiter, Certificate)
    assert len(order) == 40


async def test_it_recovers_by_itself_when_the_ca_does(world: World) -> None:
    world.ca.is_down = True
    async with world.manager(A) as manager:
        await world.clock.advance(6 * 3600)
        assert states(manager)[A] is State.BACKOFF
        world.ca.is_down = False
        await world.clock.advance(640)
        assert states(manager)[A] is State.VALID
        assert manager.statuses()[0].problem is None


async def test_existing_certificates_serve_while_the_ca_is_down(memory_folder: Path) -> None:
    world = World(memory_folder, lifetime=DAY)
    async with world.manager(A):
        pass
    world.ca.is_down = True
    async with world.manager(A) as manager:
        await world.clock.advance(2 * DAY)
        assert states(manager)[A] is State.EXPIRED
        assert isinstance(await manager.wait_for(A, 1.0), Certificate)
        world.ca.is_down = False
        await world.clock.advance(640)
        assert states(manager)[A] is State.VALID


async def test_another_ca_in_the_configuration_is_asked_at_once(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A,), authority=Authority(directory="letsencrypt-staging"))])
        await world.clock.advance(2)
        staging = manager.certificate(A)
        await manager.want([Wanted(names=(A,))])
        assert manager.certificate(A) is staging
        await world.clock.advance(2)
        found = manager.certificate(A)
        assert found is not None
        assert found.origin == Authority().url
        assert world.ca.replaced == set()


async def test_corrected_settings_end_a_wait(world: World) -> None:
    world.ca.failing = {A}
    async with world.manager(A) as manager:
        world.ca.failing.clear()
        await manager.want([Wanted(names=(A,), key_type="p384")])
        await world.clock.advance(2)
        assert states(manager)[A] is State.VALID


async def test_a_reset_directory_is_registered_with_again(world: World) -> None:
    async with world.manager(A):
        pass
    world.ca.accounts.clear()
    world.ca.orders.clear()
    async with world.manager(A, B) as manager:
        assert states(manager) == {A: State.VALID, B: State.VALID}
        assert world.ca.calls["register"] == 2


async def test_an_order_under_way_is_gone_on_with_after_a_crash(world: World) -> None:
    class CrashError(BaseException):
        """Stands for a kill."""

    def crash(call: str) -> None:
        if call == "download":
            raise CrashError

    world.ca.before = crash
    try:
        async with world.manager(A):
            pass
    except CrashError:
        pass
    world.ca.before = lambda _call: None
    async with world.manager(A) as manager:
        assert states(manager) == {A: State.VALID}
    assert (world.ca.calls["new_order"], world.ca.calls["finalize"]) == (1, 1)


async def test_a_ca_that_drops_in_the_middle_costs_no_second_order(world: World) -> None:
    def down(call: str) -> None:
        world.ca.is_down = call == "finalize"

    world.ca.before = down
    async with world.manager(A) as manager:
        assert states(manager)[A] is State.BACKOFF
        world.ca.before = lambda _call: None
        world.ca.is_down = False
        await world.clock.advance(70)
        assert states(manager)[A] is State.VALID
    assert world.ca.calls["new_order"] == 1
