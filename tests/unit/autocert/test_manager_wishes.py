"""Names that come, go and join others, and certificates that are taken out and put back."""

import pytest

from autocert.certificate import Certificate
from autocert.problem import Kind, Problem
from autocert.renewal import DAY, State
from autocert.settings import Wanted
from tests.fakes.manager_world import A, B, World, states


async def test_a_reload_changes_what_is_wanted(world: World) -> None:
    async with world.manager(A) as manager:
        await manager.want([Wanted(names=(B,))])
        await world.clock.advance(2)
        assert states(manager) == {B: State.VALID}
        assert manager.certificate(A) is None
        removed = [status for status in manager.statuses() if status.removed_at is not None]
        assert [status.names for status in removed] == [(A,)]
        assert removed[0].erased_at == pytest.approx(world.clock.wall() + 7 * DAY, abs=10)


async def test_a_removed_certificate_is_kept_for_7_days(world: World) -> None:
    async with world.manager(A) as manager:
        await manager.want([Wanted(names=(B,))])
        await world.clock.advance(6 * DAY)
        assert world.stored(A).exists()
        await manager.want([Wanted(names=(A, B))])
        await world.clock.advance(2)
        assert world.ca.calls["new_order"] == 2
        await manager.want([Wanted(names=(B,))])
        await world.clock.advance(6.5 * DAY)
        assert world.stored(A).exists()
        await world.clock.advance(DAY)
        assert not world.stored(A).parent.exists()
        assert all(status.names != (A,) for status in manager.statuses())


async def test_removal_counts_from_a_restart_without_the_name_too(world: World) -> None:
    async with world.manager(A):
        pass
    async with world.manager(B):
        await world.clock.advance(4 * DAY)
    async with world.manager(B):
        assert world.stored(A).exists()
        await world.clock.advance(3.5 * DAY)
        assert not world.stored(A).exists()


async def test_a_removed_certificate_can_be_kept(world: World) -> None:
    async with world.manager(A) as manager:
        await manager.want([Wanted(names=(B,))])
        kept = await manager.restore(A)
        assert isinstance(kept, Certificate)
        await world.clock.advance(30 * DAY)
        assert world.stored(A).exists()
    async with world.manager(B):
        await world.clock.advance(50 * DAY)
        assert world.stored(A).exists()
        await world.clock.advance(20 * DAY)
        assert not world.stored(A).exists()


async def test_restore_goes_back_and_stays_back_for_a_while(world: World) -> None:
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        await world.clock.advance(70 * DAY)
        second = manager.certificate(A)
        restored = await manager.restore(A)
        assert isinstance(restored, Certificate)
        assert first is not None
        assert restored.fingerprint == first.fingerprint
        await world.clock.advance(3600)
        assert manager.certificate(A) is restored
        await world.clock.advance(DAY)
        assert manager.certificate(A) is not restored
    assert second is not None


async def test_restore_without_a_previous_one_says_so(world: World) -> None:
    async with world.manager(A) as manager:
        found = await manager.restore(A)
        assert isinstance(found, Problem)
        assert found.kind is Kind.NO_PREVIOUS
        gone = await manager.restore("evil.com")
        assert isinstance(gone, Problem)
        assert gone.kind is Kind.NOT_WANTED


async def test_a_name_that_joins_a_group_is_served_meanwhile(world: World) -> None:
    async with world.manager(A) as manager:
        single = manager.certificate(A)
        world.ca.is_down = True
        await manager.want([Wanted(names=(A, B), group=True)])
        await world.clock.advance(2)
        assert manager.certificate(A) is not None
        assert single is not None
        assert world.listener.served[A].fingerprint == single.fingerprint
        assert isinstance(await manager.wait_for(A, 1.0), Certificate)
        world.ca.is_down = False
        await world.clock.advance(70)
        assert world.listener.served[A] is world.listener.served[B]
