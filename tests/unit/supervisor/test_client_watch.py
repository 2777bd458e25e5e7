"""What workers tell about clients is added up, bounded and forgotten; the gateway's alarm is raised and told."""

import asyncio
import logging
from dataclasses import dataclass
from typing import cast

import pytest

from proxy.config.schema import ClientIp, Config, Server, Site, Tls
from proxy.control.messages import MostLimited
from proxy.supervisor.client_watch import ClientWatch
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import Loaded
from proxy.supervisor.worker_process import WorkerProcess
from proxy.telemetry import counters
from proxy.telemetry.totals import CounterLedger
from proxy.traffic.gateway import ALARM_CONNECTIONS, CURE
from proxy.traffic.top_clients import CAPACITY, MINUTE_S, MINUTES, LimitedClient


@dataclass
class Worker:
    """Who a report comes from."""

    pid: int


class Ledger:
    """The workers' counters, added up."""

    def __init__(self) -> None:
        self.words = [0] * counters.PROCESS_WORDS

    def process(self) -> list[int]:
        return self.words

    def connected(self, count: int, from_gateway: int) -> None:
        self.words[counters.HTTP_OPENED] += count // 2
        self.words[counters.HTTPS_OPENED] += count - count // 2
        self.words[counters.GATEWAY_PEERS] += from_gateway


class World:
    """A watch, what it reads, and a loop whose time the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        self.ledger = Ledger()
        self.in_use = InUse(loaded(), (), CounterLedger())
        self.watch = ClientWatch(self.in_use, cast("CounterLedger", self.ledger))

    def told(self, pid: int, *clients: tuple[str, int], continues: bool = False) -> None:
        listed = tuple(LimitedClient(client, count, 0) for client, count in clients)
        self.watch.told(cast("WorkerProcess", Worker(pid)), MostLimited(continues, listed))

    def listed(self) -> list[tuple[object, object]]:
        rows = self.watch.limits()["clients"]
        assert isinstance(rows, list)
        return [(row["client"], row["refused"]) for row in rows]


def loaded(*trusted: str) -> Loaded:
    tls = Tls(mode="off")
    site = Site(domains=("a.test",), name="a.test", tls=tls)
    return Loaded(
        Config(server=Server(), tls=tls, client_ip=ClientIp(trusted=trusted), sites=(site,)), (), b"", None
    )


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_what_workers_say_is_added_up_and_the_last_word_of_each_counts(world: World) -> None:
    world.told(1, ("a", 5), ("b", 1))
    world.told(2, ("b", 7))
    assert world.listed() == [("b", 8), ("a", 5)]
    world.told(1, ("a", 6))
    assert world.listed() == [("b", 7), ("a", 6)]
    world.told(1)
    assert world.listed() == [("b", 7)]


async def test_a_list_may_come_in_parts_and_is_bounded(world: World) -> None:
    world.told(1, ("a", 5))
    world.told(1, ("b", 4), continues=True)
    assert world.listed() == [("a", 5), ("b", 4)]
    for part in range(30):
        world.told(1, *((f"{part} {number}", 1) for number in range(100)), continues=part > 0)
    assert len(world.listed()) == CAPACITY


async def test_a_worker_that_says_no_more_is_forgotten(world: World) -> None:
    world.told(1, ("a", 5))
    world.now += MINUTES * MINUTE_S - 1
    assert world.listed() == [("a", 5)]
    world.now += 2
    assert world.listed() == []


async def test_the_status_has_the_first_of_the_list(world: World) -> None:
    world.told(1, *((f"c{number}", 100 - number) for number in range(20)))
    status = world.watch.status()
    assert status["limited_clients"] == world.watch.limits()["clients"][:10]  # type: ignore[index]  # a list
    assert status["alarms"] == []


async def test_clients_that_share_the_gateways_address_are_an_alarm_once_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.ledger.connected(ALARM_CONNECTIONS - 1, ALARM_CONNECTIONS - 1)
    world.watch.check_gateway()
    assert not world.watch.behind_gateway
    for _ in range(5):
        world.ledger.connected(ALARM_CONNECTIONS, ALARM_CONNECTIONS)
        world.watch.check_gateway()
    assert world.watch.behind_gateway
    assert world.watch.status()["alarms"] == [CURE]
    assert [CURE in record.getMessage() for record in caplog.records] == [True]
    world.now += 3601
    world.ledger.connected(ALARM_CONNECTIONS, ALARM_CONNECTIONS)
    world.watch.check_gateway()
    assert len(caplog.records) == 2
    world.ledger.connected(ALARM_CONNECTIONS, ALARM_CONNECTIONS // 2)
    world.watch.check_gateway()
    assert not world.watch.behind_gateway


async def test_with_a_trusted_proxy_there_is_no_such_alarm(world: World) -> None:
    world.ledger.connected(ALARM_CONNECTIONS, ALARM_CONNECTIONS)
    world.watch.check_gateway()
    assert world.watch.behind_gateway
    world.in_use.use(loaded("cloudflare"))
    world.ledger.connected(ALARM_CONNECTIONS, ALARM_CONNECTIONS)
    world.watch.check_gateway()
    assert not world.watch.behind_gateway
