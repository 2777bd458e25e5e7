"""The wheel: never early, at most a tick late, and nothing is left in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.deadlines import NEVER, TICK, DeadlineWheel
from tests.fakes.hand_clock import HandClock


class Item:
    """Writes down when it was told that its deadline has come."""

    def __init__(self, clock: HandClock, deadline: float) -> None:
        self.deadline = deadline
        self.filed_tick = 0
        self.told: list[float] = []
        self._clock = clock

    def deadline_reached(self, now: float) -> None:
        assert now == self._clock.now
        self.told.append(now)


@given(st.floats(0.0, 100.0))
def test_a_deadline_is_met_within_a_tick(seconds: float) -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    item = Item(clock, clock.now + seconds)
    wheel.file(item)
    clock.advance(101.0)
    (told,) = item.told
    assert item.deadline <= told <= item.deadline + 2 * TICK
    assert not wheel._filed
    assert not clock.timers


def test_a_deadline_that_moves_on_is_met_where_it_has_moved_to() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    item = Item(clock, clock.now + 1.0)
    wheel.file(item)
    for _ in range(20):
        clock.advance(0.5)
        item.deadline = clock.now + 1.0
    assert item.told == []
    clock.advance(2.0)
    assert len(item.told) == 1


def test_a_deadline_that_moves_back_must_be_filed_again() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    item = Item(clock, clock.now + 60.0)
    wheel.file(item)
    item.deadline = clock.now + 1.0
    wheel.file(item)
    clock.advance(1.0 + 2 * TICK)
    assert len(item.told) == 1
    assert not wheel._filed


def test_what_has_no_deadline_is_not_kept() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    item = Item(clock, NEVER)
    wheel.file(item)
    assert not wheel._filed
    item.deadline = clock.now + 1.0
    wheel.file(item)
    item.deadline = NEVER
    clock.advance(5.0)
    assert (item.told, item.filed_tick, wheel._filed) == ([], 0, {})


def test_what_is_discarded_is_forgotten() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    items = [Item(clock, clock.now + 1.0) for _ in range(3)]
    for item in items:
        wheel.file(item)
    wheel.discard(items[0])
    wheel.discard(items[0])
    clock.advance(3.0)
    assert [len(item.told) for item in items] == [0, 1, 1]


def test_one_that_ends_another_does_not_meet_it_again() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)

    class Ending(Item):
        def deadline_reached(self, now: float) -> None:
            super().deadline_reached(now)
            for other in items:
                if other is not self:
                    other.deadline = NEVER
                    wheel.discard(other)

    items = [Ending(clock, clock.now + 1.0) for _ in range(5)]
    for item in items:
        wheel.file(item)
    clock.advance(3.0)
    assert sum(len(item.told) for item in items) == 1
    assert not wheel._filed


def test_one_may_file_itself_again_while_it_is_told() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)

    class Again(Item):
        def deadline_reached(self, now: float) -> None:
            super().deadline_reached(now)
            self.deadline = now + 1.0
            wheel.file(self)

    item = Again(clock, clock.now + 1.0)
    wheel.file(item)
    clock.advance(10.0)
    assert 7 <= len(item.told) <= 10


@pytest.mark.parametrize("standstill", [1.0, 10_000.0])
def test_a_loop_that_stood_still_meets_them_all(standstill: float) -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    items = [Item(clock, clock.now + number * 0.1) for number in range(10)]
    for item in items:
        wheel.file(item)
    clock.now += standstill
    clock.advance(TICK)
    assert [len(item.told) for item in items] == [1] * 10


def test_the_timer_rests_while_nothing_is_filed() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    for _ in range(3):
        item = Item(clock, clock.now + 1.0)
        wheel.file(item)
        assert len(clock.timers) == 1
        wheel.discard(item)
        clock.advance(1.0)
        assert clock.timers == []


def test_moving_a_deadline_on_a_thousand_times_files_it_once_a_tick() -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    item = Item(clock, clock.now + 1.0)
    for _ in range(1000):
        item.deadline = clock.now + 1.0
        wheel.file(item)
    assert sum(map(len, wheel._filed.values())) == 1


def test_a_fault_at_one_deadline_is_told_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = HandClock()
    wheel = DeadlineWheel(clock.loop)
    items = [Item(clock, clock.now + seconds) for seconds in (1.0, 1.0, 1.0, 2.0)]

    def fail(_now: float) -> None:
        raise ValueError("faulty")

    monkeypatch.setattr(items[1], "deadline_reached", fail)
    for item in items:
        wheel.file(item)
    clock.advance(3.0)
    assert [len(item.told) for item in items] == [1, 0, 1, 1]
    (context,) = clock.faults
    assert isinstance(context["exception"], ValueError)
    assert not wheel._filed
