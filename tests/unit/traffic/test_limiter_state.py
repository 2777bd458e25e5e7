"""Debts survive a restart as durations; nothing in a file or a clock can lock anyone out."""

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.limiter import CLOCK_SKEW_US, TokenBucket
from proxy.traffic.limiter_state import SavedLimits, SavedLimitsError, restore, save
from proxy.traffic.limiter_table import LimiterTable

KEY = bytes(range(32))
KIND = TokenBucket(1_000_000, 60)
SECOND = 1_000_000_000
UPTIME = 10**6 * SECOND
WALL = 1_790_000_000 * SECOND


def new_table(key: bytes = KEY, slots: int = 1 << 12) -> LimiterTable:
    table = LimiterTable.create(key, slots=slots)
    table.users = 1
    return table


def spend(table: LimiterTable, client: int, count: int, now_ns: int) -> int:
    return sum(not table.take(client, KIND, now_ns) for _ in range(count))


def after_restart(before: LimiterTable, *, uptime: int, wall: int) -> LimiterTable:
    """Save at UPTIME and WALL, and restore at the given clocks."""
    saved = SavedLimits.from_bytes(save(before, UPTIME, WALL).to_bytes())
    table = new_table()
    restore(saved, table, uptime, wall)
    return table


def test_remaining_debts_survive_a_reboot_and_shrink_with_the_time_that_passed() -> None:
    before = new_table()
    assert spend(before, 7 << 44 | 3, 100, UPTIME) == 60
    assert spend(before, 8 << 44 | 99, 10, UPTIME) == 10
    after = after_restart(before, uptime=5 * SECOND, wall=WALL + 20 * SECOND)
    assert spend(after, 7 << 44 | 3, 100, 5 * SECOND) == 20
    assert spend(after, 8 << 44 | 99, 100, 5 * SECOND) == 60
    assert spend(after, 9 << 44, 100, 5 * SECOND) == 60


@pytest.mark.parametrize("passed", [-1, -3600, -(10**9)])
def test_a_wall_clock_that_was_set_back_counts_as_no_time(passed: int) -> None:
    before = new_table()
    spend(before, 7 << 44, 60, UPTIME)
    after = after_restart(before, uptime=0, wall=WALL + passed * SECOND)
    assert after.take(7 << 44, KIND, 0) == 1_000_000
    assert spend(after, 7 << 44, 100, 60 * SECOND) == 60


def test_after_a_long_time_nothing_is_left() -> None:
    before = new_table()
    spend(before, 7 << 44, 60, UPTIME)
    saved = save(before, UPTIME, WALL)
    assert restore(saved, new_table(), 0, WALL + 59 * SECOND) == 1
    assert restore(saved, new_table(), 0, WALL + 60 * SECOND) == 0


def test_only_debts_are_saved() -> None:
    table = new_table()
    draw = random.Random(1)
    for _ in range(500):
        table.take(draw.getrandbits(64), KIND, UPTIME - 100 * SECOND)
    table.take(5 << 44 | 5, KIND, UPTIME)
    assert list(save(table, UPTIME, WALL).pairs) == [5, 5 << 44 | 1_000_000]


def test_an_empty_table_is_saved_and_restored() -> None:
    saved = SavedLimits.from_bytes(save(new_table(), UPTIME, WALL).to_bytes())
    assert restore(saved, new_table(), 0, WALL) == 0
    assert saved.key == KEY


@pytest.mark.parametrize("other", [new_table(bytes(32)), new_table(slots=8)])
def test_a_table_of_another_key_or_size_is_refused(other: LimiterTable) -> None:
    with pytest.raises(SavedLimitsError, match="another key or size"):
        restore(save(new_table(), UPTIME, WALL), other, 0, WALL)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_file_that_was_damaged_is_refused(place: int, octet: int) -> None:
    table = new_table(slots=8)
    spend(table, 7 << 44, 5, UPTIME)
    spend(table, 9 << 44 | 1, 5, UPTIME)
    whole = save(table, UPTIME, WALL).to_bytes()
    place %= len(whole)
    damaged = whole[:place] + bytes([octet]) + whole[place + 1 :]
    if damaged != whole:
        with pytest.raises(SavedLimitsError):
            SavedLimits.from_bytes(damaged)
    with pytest.raises(SavedLimitsError):
        SavedLimits.from_bytes(whole[:place])
    table.close()


@given(st.binary(max_size=100))
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(SavedLimitsError):
        SavedLimits.from_bytes(octets)


def test_the_form_of_another_version_is_named_as_such() -> None:
    with pytest.raises(SavedLimitsError, match="not written by this version"):
        SavedLimits.from_bytes(b"foregate-limits\x02")


@given(st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1)), max_size=20))
def test_whatever_was_saved_nobody_waits_long(
    pairs: list[tuple[int, int]],
) -> None:
    saved = SavedLimits(KEY, 16, WALL, array("Q", [number for pair in pairs for number in pair]))
    table = new_table(slots=16)
    restore(SavedLimits.from_bytes(saved.to_bytes()), table, 0, WALL)
    for word in list(table.words):
        assert table.take(word, KIND, 0) <= KIND.period_us + CLOCK_SKEW_US
        assert table.take(word, KIND, KIND.ceiling_us * 1000) == 0
    table.close()
