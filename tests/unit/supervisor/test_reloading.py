"""Lists of addresses are read again when they change, whatever has become of the configuration file meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from proxy.supervisor import reloading
from proxy.supervisor.cache_move import CacheMove
from proxy.supervisor.listeners import Endpoint, Listener, Purpose, endpoints, open_all
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.reloading import Reloader
from proxy.supervisor.service_manager import ServiceManager
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import ConfigFile
from proxy.telemetry.totals import CounterLedger
from proxy.traffic.address import parse_address

ALICE, BOB = "192.0.2.1", "192.0.2.2"
TEXT = """
[server]
http = ["127.0.0.1:0"]
https = []
metrics = ""
[tls]
mode = "off"
storage = "."
[firewall]
deny = ["file:blocked.txt"]
[[site]]
domains = ["a.test"]
upstream = "http://app:3000"
"""


class Pool:
    """Workers that use what they get, unless told to find fault with it."""

    def __init__(self) -> None:
        self.fault = ""
        self.breaks = False
        self.given: list[int] = []

    async def apply(self, generation: int, _configure: object, _patience: float) -> str:
        breaks, self.breaks = self.breaks, False
        if breaks:
            raise RuntimeError("nobody has foreseen this")
        self.given.append(generation)
        fault, self.fault = self.fault, ""
        return fault

    def listen(self, _listener: Listener) -> None:
        """Accept on it."""

    def broadcast(self, _command: object) -> None:
        """Be told."""


class Move:
    """A cache that stays as it is."""

    is_possible = False

    def is_due(self, _config: object) -> bool:
        return False


class Instance:
    """A reloader, its file and its list, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.list = folder / "blocked.txt"
        self.list.write_text(ALICE)
        self.file = ConfigFile(folder / "proxy.toml", {})
        self.file.path.write_text(TEXT.replace("file:", f"file:{folder}/"))
        loaded = self.file.read()
        self.listeners = open_all(endpoints(loaded.config))
        self.in_use = InUse(loaded, self.listeners, CounterLedger())
        self.pool = Pool()
        self.service = ServiceManager({})
        self.reloader = Reloader(
            self.file,
            self.in_use,
            cast("WorkerPool", self.pool),
            cast("CacheMove", Move()),
            lambda _config, _opened, _closed: None,
            self.service,
        )

    def denied(self, address: str) -> bool:
        """Say whether the proxy's rules keep an address out."""
        parsed = parse_address(address)
        assert parsed is not None
        (rules,) = {id(rules): rules for rules in self.in_use.loaded.firewalls.values()}.values()
        return not rules.permits(parsed.packed)

    async def poll(self, times: int = 3) -> None:
        """Let a change be seen, and be still for two polls."""
        for _ in range(times):
            await self.reloader.poll()


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    instance = Instance(tmp_path)
    try:
        await instance.reloader.reload("signal")
        await instance.poll()
        yield instance
    finally:
        for listener in instance.listeners:
            listener.close()


async def test_a_changed_list_is_read_once_it_keeps_still(instance: Instance) -> None:
    assert (instance.denied(ALICE), instance.denied(BOB)) == (True, False)
    instance.list.write_text(BOB + "/32")
    await instance.poll(2)
    assert instance.denied(ALICE)
    await instance.poll(1)
    assert (instance.denied(ALICE), instance.denied(BOB)) == (False, True)
    generations = len(instance.pool.given)
    await instance.poll(5)
    assert len(instance.pool.given) == generations


async def test_a_faulty_or_missing_list_changes_nothing_and_is_told(instance: Instance) -> None:
    instance.list.write_text(f"{BOB}\n10.0.0.1/8\nexample.com\n")
    await instance.poll()
    first, second = instance.reloader.last_faults
    assert first.startswith(f"{instance.list}:2: ")
    assert 'did you mean "10.0.0.0/8"' in first
    assert second.startswith(f"{instance.list}:3: ")
    instance.list.unlink()
    await instance.poll()
    (gone,) = instance.reloader.last_faults
    assert gone.startswith(f"{instance.list}: ")
    assert instance.denied(ALICE)


async def test_a_reload_that_a_list_kept_back_is_made_up_for(instance: Instance) -> None:
    instance.list.write_text("nonsense")
    instance.file.path.write_text(instance.file.path.read_text().replace("app:3000", "app:4000"))
    assert not (await instance.reloader.reload("signal")).accepted
    await instance.poll()
    assert instance.reloader.last_faults
    instance.list.write_text(BOB)
    await instance.poll()
    assert not instance.reloader.last_faults
    assert instance.denied(BOB)
    assert instance.in_use.config.sites[0].routes[-1].upstream[0].port == 4000


async def test_a_list_is_read_though_the_configuration_is_broken(instance: Instance) -> None:
    good = instance.file.path.read_text()
    instance.file.path.write_text("[[site")
    await instance.poll()
    assert len(instance.reloader.last_faults) == 1
    instance.list.write_text(BOB)
    await instance.poll()
    assert instance.denied(BOB)
    assert len(instance.reloader.last_faults) == 1  # the file still is
    instance.file.path.write_text(good)
    await instance.poll()
    assert not instance.reloader.last_faults


async def test_a_list_that_a_worker_cannot_use_is_taken_back(instance: Instance) -> None:
    instance.pool.fault = "no memory"
    instance.list.write_text(BOB)
    await instance.poll()
    assert instance.reloader.last_faults == ("a worker cannot use it: no memory",)
    assert instance.denied(ALICE)


async def test_a_socket_that_was_lent_is_still_lent_when_it_changes_its_purpose(instance: Instance) -> None:
    (http,) = (one for one in instance.listeners if one.endpoint.purpose is Purpose.HTTP)
    instance.in_use.listeners[http.endpoint] = replace(http, lent=True)
    before, after = 'http = ["127.0.0.1:0"]\nhttps = []', 'http = []\nhttps = ["127.0.0.1:0"]'
    instance.file.path.write_text(instance.file.path.read_text().replace(before, after))
    assert (await instance.reloader.reload("signal")).accepted
    (https,) = (one for one in instance.in_use.listeners.values() if one.endpoint.purpose is Purpose.HTTPS)
    instance.listeners = (*instance.listeners, https)
    assert (https.lent, https.port) == (True, http.port)


async def test_a_reload_that_fails_unforeseen_is_refused_and_told(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(instance.service, "reloading", lambda: told.append("reloading"))
    monkeypatch.setattr(instance.service, "reloaded", told.append)
    monkeypatch.setattr(reloading, "endpoints", lambda _config: 1 / 0)
    refused = await instance.reloader.reload("signal")
    assert refused.faults == (
        "a fault of Foregate's own, ZeroDivisionError('division by zero'); "
        "please report it with the traceback in the log",
    )
    assert told == ["reloading", "reload refused, see the log"]
    assert instance.reloader.last_faults == refused.faults
    assert instance.reloader.results[False] == 1
    monkeypatch.undo()
    assert (await instance.reloader.reload("signal")).accepted
    assert not instance.reloader.last_faults


async def test_when_a_reload_fails_half_way_the_former_configuration_is_back(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Listener] = []

    def open_noted(wanted: Iterable[Endpoint]) -> tuple[Listener, ...]:
        opened.extend(open_all(wanted))
        return tuple(opened)

    monkeypatch.setattr(reloading, "open_all", open_noted)
    former = instance.in_use.loaded
    text = instance.file.path.read_text()
    instance.file.path.write_text(text.replace('metrics = ""', 'metrics = "127.0.0.1:0"'))
    instance.pool.breaks = True
    assert not (await instance.reloader.reload("signal")).accepted
    assert instance.in_use.loaded is former
    (metrics,) = opened
    assert metrics.endpoint not in instance.in_use.listeners
    assert metrics.socket.fileno() == -1  # closed


async def test_reloads_come_one_after_the_other(instance: Instance) -> None:
    outcomes = await asyncio.gather(*(instance.reloader.reload("signal") for _ in range(3)))
    assert [outcome.accepted for outcome in outcomes] == [True] * 3
