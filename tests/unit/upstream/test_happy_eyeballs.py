import asyncio
from typing import cast

import pytest

from proxy.errors import GatewayError
from proxy.upstream.addresses import TargetKey
from proxy.upstream.balancer import Target
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.happy_eyeballs import Race
from proxy.upstream.health import HealthState
from proxy.upstream.pool import Attempt, Connecting, Pool

NEVER = 3600.0


def target(address: str) -> Target:
    return Target(TargetKey(scheme="http", host="app", port=80, address=address))


class FakePool:
    """Lets the test say how an attempt ends."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.started = asyncio.Event()
        self.attempt: Attempt | None = None

    def connect(self, waiter: Connecting, timeout: float) -> Attempt:
        self.attempt = Attempt(waiter, timeout)
        self.started.set()
        return self.attempt

    @property
    def waiter(self) -> Connecting:
        """Return who waits for the attempt; there is nobody once it was cancelled."""
        assert self.attempt is not None
        assert self.attempt.waiter is not None
        return self.attempt.waiter

    @property
    def cancelled(self) -> bool:
        return self.attempt is not None and self.attempt.waiter is None


class Forward:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def retarget(self, target: Target) -> None:
        self.told.append(f"target {target.address}")

    def runner_failed(self, target: Target, error: GatewayError) -> None:
        self.told.append(f"{target.address} failed")

    def connected(self, connection: UpstreamConnection) -> None:
        self.told.append("connected")

    def not_connected(self, error: GatewayError) -> None:
        self.told.append("not connected")


class Track:
    """A race between an IPv6 address, which starts first, and an IPv4 address."""

    connection = cast(UpstreamConnection, object())
    error = GatewayError("refused")

    def __init__(self, head_start: float) -> None:
        self.six, self.four = target("fd00::1"), target("10.0.0.1")
        self.pools = {self.six: FakePool(), self.four: FakePool()}
        self.forward = Forward()
        self.race = Race(self.forward, self.pool_of, self.six, self.four, 3.0, head_start=head_start)

    def pool_of(self, target: Target) -> Pool:
        return cast(Pool, self.pools[target])

    async def both_run(self) -> None:
        await self.pools[self.four].started.wait()

    def arrives(self, target: Target) -> None:
        self.pools[target].waiter.connected(self.connection)

    def fails(self, target: Target) -> None:
        self.pools[target].waiter.not_connected(self.error)

    def state(self, target: Target) -> HealthState:
        return target.health.status(asyncio.get_running_loop().time()).state


@pytest.fixture
async def head_start() -> Track:
    """Return a race in which the second address has not started yet."""
    return Track(NEVER)


@pytest.fixture
async def track() -> Track:
    """Return a race in which both addresses run."""
    track = Track(0.0)
    await track.both_run()
    return track


async def test_a_quick_first_address_runs_alone(head_start: Track) -> None:
    head_start.arrives(head_start.six)
    assert head_start.forward.told == ["target fd00::1", "connected"]
    assert not head_start.pools[head_start.four].started.is_set()


async def test_a_first_address_that_fails_early_leaves_the_next_to_the_waiter(head_start: Track) -> None:
    head_start.fails(head_start.six)
    assert head_start.forward.told == ["target fd00::1", "not connected"]
    assert not head_start.pools[head_start.four].started.is_set()


async def test_the_second_overtakes_a_slow_first_which_counts_as_failed(track: Track) -> None:
    track.arrives(track.four)
    assert track.forward.told == ["target 10.0.0.1", "connected"]
    assert track.pools[track.six].cancelled
    assert track.state(track.six) is HealthState.COOLING_DOWN
    assert track.state(track.four) is HealthState.HEALTHY


async def test_the_first_may_still_win_and_nobody_is_to_blame(track: Track) -> None:
    track.arrives(track.six)
    assert track.forward.told == ["target fd00::1", "connected"]
    assert track.pools[track.four].cancelled
    assert track.state(track.four) is HealthState.HEALTHY


@pytest.mark.parametrize("order", [("six", "four"), ("four", "six")])
async def test_when_one_fails_the_other_runs_on(track: Track, order: tuple[str, str]) -> None:
    loser, winner = (getattr(track, name) for name in order)
    track.fails(loser)
    track.arrives(winner)
    assert track.forward.told == [f"{loser.address} failed", f"target {winner.address}", "connected"]


async def test_when_both_fail_the_last_error_counts(track: Track) -> None:
    track.fails(track.six)
    track.fails(track.four)
    assert track.forward.told == ["fd00::1 failed", "target 10.0.0.1", "not connected"]


async def test_cancelling_stops_both(track: Track) -> None:
    track.race.cancel()
    assert track.pools[track.six].cancelled
    assert track.pools[track.four].cancelled
    assert track.forward.told == []
