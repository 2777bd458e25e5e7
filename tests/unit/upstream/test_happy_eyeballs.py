import asyncio

import pytest

from proxy.upstream.happy_eyeballs import connect_first

NEVER = 3600.0


class Network:
    """Connects by name: "up" at once, "down" fails, anything else hangs until it is opened."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.discarded: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.hanging: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self, name: str) -> str:
        self.started.append(name)
        if name.startswith("down"):
            raise ConnectionRefusedError(name)
        if not name.startswith("up"):
            gate = self.gates[name] = asyncio.Event()
            self.hanging.put_nowait(name)
            try:
                await gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        return f"to {name}"

    async def first(self, *names: str, stagger: float = NEVER) -> tuple[str, str]:
        return await connect_first(names, self.connect, self.discarded.append, stagger=stagger)


@pytest.fixture
def network() -> Network:
    return Network()


async def test_a_single_candidate_is_just_connected(network: Network) -> None:
    assert await network.first("up") == ("up", "to up")


async def test_the_second_is_not_tried_when_the_first_answers(network: Network) -> None:
    assert await network.first("up1", "up2") == ("up1", "to up1")
    assert network.started == ["up1"]


async def test_a_failure_starts_the_next_at_once(network: Network) -> None:
    assert await network.first("down", "up") == ("up", "to up")


async def test_a_slow_one_is_overtaken_and_cancelled(network: Network) -> None:
    assert await network.first("slow", "up", stagger=0.0) == ("up", "to up")
    await asyncio.sleep(0)
    assert network.cancelled == ["slow"]
    assert network.discarded == []


async def test_the_first_error_is_raised_when_all_fail(network: Network) -> None:
    with pytest.raises(ConnectionRefusedError, match="down1"):
        await network.first("down1", "down2", "down3")
    assert network.started == ["down1", "down2", "down3"]


async def test_a_slow_one_may_still_win_when_the_other_fails(network: Network) -> None:
    race = asyncio.create_task(network.first("slow", "down", stagger=0.0))
    network.gates[await network.hanging.get()].set()
    assert await race == ("slow", "to slow")


async def test_a_connection_that_comes_second_is_discarded(network: Network) -> None:
    race = asyncio.create_task(network.first("slow1", "slow2", stagger=0.0))
    assert {await network.hanging.get(), await network.hanging.get()} == {"slow1", "slow2"}
    for gate in network.gates.values():
        gate.set()
    winner, _ = await race
    await asyncio.sleep(0)
    assert {winner, *(name.removeprefix("to ") for name in network.discarded)} == {"slow1", "slow2"}


async def test_cancelling_the_race_cancels_the_attempts(network: Network) -> None:
    race = asyncio.create_task(network.first("slow1", "slow2", stagger=0.0))
    assert {await network.hanging.get(), await network.hanging.get()} == {"slow1", "slow2"}
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    await asyncio.sleep(0)
    assert sorted(network.cancelled) == ["slow1", "slow2"]
