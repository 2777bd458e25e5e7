import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from proxy.upstream.addresses import UpstreamAddresses
from proxy.upstream.resolver import (
    LOOKUPS_AT_ONCE,
    TIMED_OUT,
    NameState,
    NoSuchNameError,
    Pace,
    ResolveError,
    Resolver,
    system_lookup,
)
from tests.fakes.dns import FakeDns

PACE = Pace(again=4.0, unresolved=1.0, deadline=5.0, forget=10.0)
QUICK = Pace(again=0.01, unresolved=0.01, deadline=3600.0)
BROKEN = ResolveError("the name server failed")
MISSING = NoSuchNameError("no such name")


class TestNameState:
    @pytest.fixture
    def state(self) -> NameState:
        return NameState("app", PACE, 100.0)

    def ask(
        self, state: NameState, now: float, outcome: tuple[str, ...] | ResolveError, took: float = 0.0
    ) -> bool:
        assert state.due(now)
        state.start(now)
        return state.answered(now + took, outcome)

    def test_it_is_due_at_once_and_then_at_its_pace(self, state: NameState) -> None:
        assert self.ask(state, 100.0, ("10.0.0.1",))
        assert not state.due(103.9)
        assert state.wake_at() == 104.0
        assert not self.ask(state, 104.0, ("10.0.0.1",))

    def test_an_unresolved_name_is_asked_for_sooner(self, state: NameState) -> None:
        assert self.ask(state, 100.0, BROKEN)
        assert state.wake_at() == 101.0

    def test_a_slow_answer_does_not_put_off_the_next_lookup(self, state: NameState) -> None:
        self.ask(state, 100.0, ("10.0.0.1",), took=4.5)
        assert state.wake_at() == 104.5

    def test_the_last_good_addresses_outlive_a_failing_name_server(self, state: NameState) -> None:
        self.ask(state, 100.0, ("10.0.0.1",))
        for round in range(1, 50):
            self.ask(state, 100.0 + 4 * round, BROKEN)
        assert (state.addresses, state.fault) == (("10.0.0.1",), "the name server failed")
        assert self.ask(state, 400.0, ("10.0.0.1",))
        assert state.fault == ""

    def test_a_name_that_is_gone_loses_its_addresses_after_a_while(self, state: NameState) -> None:
        self.ask(state, 100.0, ("10.0.0.1",))
        assert self.ask(state, 104.0, MISSING)
        assert state.message() == UpstreamAddresses(name="app", addresses=("10.0.0.1",), fault="no such name")
        assert not self.ask(state, 108.0, MISSING)
        assert not self.ask(state, 112.0, MISSING)
        assert self.ask(state, 116.0, MISSING)
        assert state.addresses == ()

    def test_an_answer_without_addresses_is_no_such_name(self, state: NameState) -> None:
        self.ask(state, 100.0, ())
        assert state.fault == "no such name"

    def test_only_an_unbroken_row_of_no_such_name_counts(self, state: NameState) -> None:
        self.ask(state, 100.0, ("10.0.0.1",))
        self.ask(state, 104.0, MISSING)
        self.ask(state, 108.0, BROKEN)
        self.ask(state, 112.0, MISSING)
        self.ask(state, 116.0, MISSING)
        assert state.addresses == ("10.0.0.1",)

    def test_a_lookup_past_its_deadline_is_told_once_and_its_answer_is_still_welcome(
        self, state: NameState
    ) -> None:
        state.start(100.0)
        assert state.wake_at() == 105.0
        assert not state.expire(104.9)
        assert state.expire(105.0)
        assert state.fault == TIMED_OUT
        assert not state.expire(106.0)
        assert not state.due(200.0)
        assert state.answered(130.0, ("10.0.0.1",))
        assert state.message() == UpstreamAddresses(name="app", addresses=("10.0.0.1",))
        assert state.due(130.0)


class Changes:
    """Collects what the resolver tells, and waits for it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[UpstreamAddresses] = asyncio.Queue()

        self._seen: list[UpstreamAddresses] = []

    async def next(self) -> UpstreamAddresses:
        self._seen.append(await self.told.get())
        return self._seen[-1]

    async def until(self, name: str, *, addresses: tuple[str, ...], fault: str) -> None:
        expected = UpstreamAddresses(name=name, addresses=addresses, fault=fault)
        while expected not in self._seen:
            await self.next()


@asynccontextmanager
async def running(resolver: Resolver) -> AsyncIterator[None]:
    task = asyncio.create_task(resolver.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class TestResolver:
    @pytest.fixture
    def dns(self) -> Iterator[FakeDns]:
        dns = FakeDns(app=("10.0.0.1",), other=("10.0.0.2",))
        yield dns
        dns.release_all()
        for thread in threading.enumerate():
            if thread.name.startswith("lookup "):
                thread.join()

    async def test_a_change_of_address_is_told(self, dns: FakeDns) -> None:
        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=QUICK)
        resolver.update(["app"])
        async with running(resolver):
            assert (await changes.next()).addresses == ("10.0.0.1",)
            dns.names["app"] = ("10.0.0.7",)
            assert await changes.next() == UpstreamAddresses(name="app", addresses=("10.0.0.7",))
        assert resolver.snapshot() == (UpstreamAddresses(name="app", addresses=("10.0.0.7",)),)

    async def test_a_name_that_appears_later_is_found(self, dns: FakeDns) -> None:
        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=QUICK)
        resolver.update(["late"])
        async with running(resolver):
            assert (await changes.next()).fault == "no such name"
            dns.names["late"] = ("10.0.0.9",)
            assert (await changes.next()).addresses == ("10.0.0.9",)

    async def test_hanging_names_hold_up_no_other(self, dns: FakeDns) -> None:
        hanging = [f"hangs{number:02}" for number in range(LOOKUPS_AT_ONCE + 4)]
        for name in hanging:
            dns.hang(name)
        changes = Changes()
        pace = Pace(again=0.01, unresolved=0.01, deadline=0.05)
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=pace)
        resolver.update([*hanging, "zebra"])
        dns.names["zebra"] = ("10.0.0.3",)
        async with running(resolver):
            await changes.until("zebra", addresses=("10.0.0.3",), fault="")
            await changes.until(hanging[-1], addresses=(), fault=TIMED_OUT)
        assert all(dns.asked[name] == 1 for name in hanging)

    async def test_no_more_lookups_at_once_than_there_are_places(self, dns: FakeDns) -> None:
        hanging = [f"hangs{number:02}" for number in range(LOOKUPS_AT_ONCE)]
        for name in hanging:
            dns.hang(name)
        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=QUICK)
        resolver.update(hanging)
        async with running(resolver):
            resolver.update([*hanging, "zebra"])
            dns.release(hanging[0])
            assert (await changes.next()).name == hanging[0]
            assert (await changes.next()).name == "zebra"

    async def test_stopping_waits_for_no_lookup(self, dns: FakeDns) -> None:
        dns.hang("app")
        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=QUICK)
        resolver.update(["app", "other"])
        async with running(resolver):
            assert (await changes.next()).name == "other"
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "lookup app"] == [True]

    async def test_an_answer_after_the_loop_was_closed_is_dropped(self, dns: FakeDns) -> None:
        loop = asyncio.new_event_loop()
        loop.close()
        Resolver(lambda message: None, lookup=dns)._ask(loop, "app")
        assert dns.asked["app"] == 1

    async def test_a_name_that_is_taken_out_and_put_back_is_asked_once_at_a_time(self, dns: FakeDns) -> None:
        dns.hang("app")
        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=QUICK)
        resolver.update(["app", "other"])
        async with running(resolver):
            await changes.next()
            resolver.update(["other"])
            assert [message.name for message in resolver.snapshot()] == ["other"]
            resolver.update(["other", "app"])
            dns.release("app")
            assert (await changes.next()).name == "app"
        assert dns.asked["app"] >= 1

    async def test_a_name_taken_out_while_asked_for_is_not_told(self, dns: FakeDns) -> None:
        dns.hang("app")
        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=dns, pace=QUICK)
        resolver.update(["app", "other"])
        async with running(resolver):
            assert (await changes.next()).name == "other"
            resolver.update(["other"])
            dns.release("app")
            dns.names["other"] = ("10.0.0.8",)
            assert (await changes.next()).name == "other"
        assert changes.told.empty()

    async def test_a_bug_in_the_lookup_is_a_fault_of_the_name(self) -> None:
        def lookup(name: str) -> tuple[str, ...]:
            raise ZeroDivisionError

        changes = Changes()
        resolver = Resolver(changes.told.put_nowait, lookup=lookup, pace=QUICK)
        resolver.update(["app"])
        async with running(resolver):
            assert "ZeroDivisionError" in (await changes.next()).fault

    async def test_literals_are_not_asked_for(self, dns: FakeDns) -> None:
        resolver = Resolver(lambda message: None, lookup=dns)
        resolver.update(["10.0.0.1", "::1", "localhost", ""])
        assert resolver.snapshot() == ()


class TestSystemLookup:
    def answer(self, monkeypatch: pytest.MonkeyPatch, *outcomes: list[str] | OSError | UnicodeError) -> None:
        """Let getaddrinfo give one outcome after the other."""
        waiting = list(outcomes)

        def getaddrinfo(*args: object, **kwargs: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            outcome = waiting.pop(0)
            if not isinstance(outcome, list):
                raise outcome
            return [(0, 0, 0, "", (address, 0)) for address in outcome]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def test_addresses_are_unique_and_interleaved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, ["10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.2"])
        assert system_lookup("app") == ("10.0.0.1", "fd00::1", "10.0.0.2")

    def test_a_name_hidden_by_addrconfig_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, socket.gaierror(socket.EAI_NONAME, "unknown"), ["127.0.0.1"])
        assert system_lookup("app") == ("127.0.0.1",)

    @pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
    def test_no_such_name_is_told_apart(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        fault = socket.gaierror(code, "unknown")
        self.answer(monkeypatch, fault, fault)
        with pytest.raises(NoSuchNameError, match="no such name"):
            system_lookup("app")

    def test_a_dead_name_server_is_told_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
        with pytest.raises(ResolveError, match="the name server failed: Temporary failure") as caught:
            system_lookup("app")
        assert not isinstance(caught.value, NoSuchNameError)

    def test_a_name_that_cannot_be_encoded_is_a_fault(self) -> None:
        with pytest.raises(ResolveError, match="the lookup failed"):
            system_lookup("a" * 64 + ".example")
