"""The manager as its callers see it, over a CA and a clock of the test's own."""

import asyncio
import errno
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from autocert.any_name import BURST, SECONDS_EACH
from autocert.certificate import LOCAL, Certificate
from autocert.files import Disk
from autocert.manager import Autocert
from autocert.problem import Kind, Problem
from autocert.renewal import DAY, State
from autocert.settings import Authority, Settings, Wanted
from autocert.surroundings import Surroundings
from tests.fakes.autocert_world import FastDisk, InlineRunner, ManualClock, NoResolver, Recorder
from tests.fakes.sim_ca import SimCa

A, B = "a.example.com", "b.example.com"


class World:
    """A clock, a CA, a storage folder, and managers that live in them one after the other."""

    def __init__(
        self, folder: Path, *, ari: bool = True, lifetime: float = 90 * DAY, look_around: float = 6 * 3600.0
    ) -> None:
        self.clock = ManualClock()
        self.ca = SimCa(self.clock, ari=ari, lifetime=lifetime)
        self.listener = Recorder()
        self.disk: Disk = FastDisk()
        self.settings = Settings(storage=folder / "ssl", look_around=look_around)

    @asynccontextmanager
    async def manager(self, *names: str, group: bool = False) -> AsyncIterator[Autocert]:
        """Run a manager that wants these names."""
        surroundings = Surroundings(
            clock=self.clock,
            runner=InlineRunner(),
            disk=self.disk,
            connect=self.ca.connect,
            resolver=NoResolver(),
        )
        found = Autocert(self.settings, self.listener, surroundings)
        await found.start()
        if names:
            await found.want([Wanted(names=names, group=group)])
            await self.clock.advance(2)
        try:
            yield found
        finally:
            await found.close()

    def stored(self, name: str, version: str = "current") -> Path:
        """Return where a certificate is kept."""
        return self.settings.storage / "certificates" / name / version


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Return a folder in memory where there is one: years pass here, with thousands of renames."""
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as path:
        yield Path(path)


@pytest.fixture
def world(memory_folder: Path) -> World:
    return World(memory_folder)


@pytest.fixture
def watchful(memory_folder: Path) -> World:
    """Return a world in which the storage is looked at every 30 seconds, as it is in earnest."""
    return World(memory_folder, look_around=30.0)


def states(manager: Autocert) -> dict[str, State]:
    return {status.names[0]: status.state for status in manager.statuses() if status.removed_at is None}


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


# The storage


class MoodyDisk(FastDisk):
    """A disk that can refuse all changes; `error` is what it says."""

    error: int = 0

    def _check(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))

    def create(self, name: str, folder: int) -> int:
        self._check()
        return super().create(name, folder)

    def write(self, descriptor: int, content: bytes) -> None:
        self._check()
        super().write(descriptor, content)

    def rename(self, old: str, new: str, folder: int) -> None:
        self._check()
        super().rename(old, new, folder)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errno.ENOSPC, Kind.STORAGE_FULL),
        (errno.EROFS, Kind.STORAGE_READ_ONLY),
        (errno.EIO, Kind.STORAGE_FAILS),
    ],
)
async def test_a_failing_disk_keeps_serving_and_is_told_once(watchful: World, error: int, kind: Kind) -> None:
    disk = watchful.disk = MoodyDisk()
    async with watchful.manager(A) as manager:
        disk.error = error
        await manager.want([Wanted(names=(A, B))])
        await watchful.clock.advance(600)
        assert manager.certificate(A) is not None
        # Nothing may be ordered that cannot be written down: a restart would order it again and again.
        assert watchful.ca.calls["new_order"] == 1
        assert manager.storage_problem is not None
        assert manager.storage_problem.kind is kind
        assert watchful.listener.kinds("") == [kind.value]
        found = await manager.wait_for(B, 1.0)
        assert isinstance(found, Problem)
        assert found.kind is kind
        disk.error = 0
        await watchful.clock.advance(40)
        assert states(manager) == {A: State.VALID, B: State.VALID}
        assert manager.storage_problem is None


async def test_a_renewal_that_cannot_wait_is_made_in_memory(memory_folder: Path) -> None:
    world = World(memory_folder, lifetime=DAY, look_around=600.0)
    disk = world.disk = MoodyDisk()
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        disk.error = errno.ENOSPC
        await world.clock.advance(0.85 * DAY)
        assert manager.certificate(A) is first
        await world.clock.advance(0.1 * DAY)
        second = manager.certificate(A)
        assert second is not first
        assert [status.is_saved for status in manager.statuses()] == [False]
        disk.error = 0
        await world.clock.advance(601)
        assert [status.is_saved for status in manager.statuses()] == [True]
    async with world.manager(A) as manager:
        found = manager.certificate(A)
        assert second is not None
        assert found is not None
        assert found.fingerprint == second.fingerprint


@pytest.mark.parametrize("damage", ["emptied", "truncated", "flipped", "deleted", "all deleted"])
async def test_damage_while_running_is_healed_from_memory(watchful: World, damage: str) -> None:
    async with watchful.manager(A, B) as manager:
        path = watchful.stored(A)
        content = path.read_bytes()
        match damage:
            case "emptied":
                path.write_bytes(b"")
            case "truncated":
                path.write_bytes(content[:500])
            case "flipped":
                path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
            case "deleted":
                path.unlink()
            case "all deleted":
                import shutil

                shutil.rmtree(watchful.settings.storage)
        await watchful.clock.advance(40)
        assert path.read_bytes() == content
        assert states(manager) == {A: State.VALID, B: State.VALID}
        assert watchful.ca.calls["new_order"] == 2
        told = {"emptied", "truncated", "flipped"}
        assert watchful.listener.kinds(A) == ([Kind.STORE_DAMAGED.value] if damage in told else [])


async def test_damage_found_at_start_falls_back_to_the_previous_and_renews(world: World) -> None:
    async with world.manager(A):
        await world.clock.advance(70 * DAY)
    world.stored(A).write_bytes(b"")
    async with world.manager(A) as manager:
        assert states(manager)[A] is State.VALID
        problems = [problem for _, problem in world.listener.problems if problem.kind is Kind.STORE_DAMAGED]
        assert "the version before it is in use" in problems[0].what_is_wrong
        assert "the file is empty" in problems[0].detail
    assert world.ca.over_limit == []


async def test_damage_of_both_versions_orders_anew(world: World) -> None:
    async with world.manager(A):
        pass
    world.stored(A).write_bytes(b"junk")
    async with world.manager(A) as manager:
        assert states(manager)[A] is State.VALID
    assert world.ca.calls["new_order"] == 2


async def test_wrong_modes_are_put_right_and_told(watchful: World) -> None:
    async with watchful.manager(A):
        pass
    os.chmod(watchful.stored(A), 0o666)
    async with watchful.manager(A):
        await watchful.clock.advance(40)
    assert os.stat(watchful.stored(A)).st_mode & 0o777 == 0o600
    assert Kind.STORE_MODES.value in watchful.listener.kinds("")


async def test_an_unreadable_storage_orders_nothing_and_heals(
    watchful: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autocert.errors import StorageError
    from autocert.files import Folder

    async with watchful.manager(A):
        pass
    read = Folder.read

    def failing(self: Folder, name: str) -> bytes:
        if name in {"current", "previous"}:
            raise StorageError(OSError(errno.EACCES, "Permission denied"), self.path)
        return read(self, name)

    monkeypatch.setattr(Folder, "read", failing)
    async with watchful.manager(A) as manager:
        await watchful.clock.advance(300)
        found = await manager.wait_for(A, 10.0)
        assert isinstance(found, Problem)
        assert found.kind is Kind.STORAGE_DENIED
        assert watchful.ca.calls["new_order"] == 1
        monkeypatch.setattr(Folder, "read", read)
        await watchful.clock.advance(40)
        assert states(manager)[A] is State.VALID
    assert watchful.ca.calls["new_order"] == 1


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
