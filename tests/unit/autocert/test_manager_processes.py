"""Managers of several processes on one storage."""

from autocert.renewal import DAY
from autocert.settings import Wanted
from tests.fakes.manager_world import A, B, World


async def test_two_processes_on_one_storage_order_once(world: World) -> None:
    async with world.manager() as one, world.manager() as other:
        await one.want([Wanted(names=(A,))])
        await other.want([Wanted(names=(A,))])
        await world.clock.advance(3)
        mine, theirs = one.certificate(A), other.certificate(A)
        assert mine is not None
        assert theirs is not None
        assert mine.fingerprint == theirs.fingerprint
        assert world.ca.calls["new_order"] == 1
        await world.clock.advance(75 * DAY)
        mine, theirs = one.certificate(A), other.certificate(A)
        assert mine is not None
        assert theirs is not None
        assert mine.fingerprint == theirs.fingerprint
        assert world.ca.calls["new_order"] == 2


async def test_a_failure_of_one_process_is_the_wait_of_both(world: World) -> None:
    world.ca.failing = {A}
    async with world.manager() as one, world.manager() as other:
        await one.want([Wanted(names=(A,))])
        await other.want([Wanted(names=(A,))])
        await world.clock.advance(30)
        assert world.ca.calls["new_order"] == 1


async def test_processes_of_different_names_leave_each_other_s_alone(world: World) -> None:
    async with world.manager(A) as one, world.manager(B) as other:
        for _ in range(20):
            await world.clock.advance(DAY)
        assert one.certificate(A) is not None
        assert other.certificate(B) is not None
        assert world.stored(A).exists()
        assert world.stored(B).exists()
    assert world.ca.calls["new_order"] == 2
