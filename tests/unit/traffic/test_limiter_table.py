"""The shared table keeps one debt per client, whoever else is there and whoever dies."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.shared_memory import LayoutMismatchError, SharedMemory, StripedLock
from proxy.traffic.limiter import CLOCK_SKEW_US, TokenBucket, bucket_fingerprint, scope_key
from proxy.traffic.limiter_table import KIND, LAYOUT, TIME_BITS, WAYS, LimiterTable

KEY = bytes(range(32))
DEFAULT = TokenBucket.of(150, 60, 150)
SECOND = 1_000_000_000
# Two hundred days of uptime: stored moments are about to wrap around.
LATE = (1 << TIME_BITS) * 1000


@pytest.fixture(params=[True, False], ids=["alone", "with locks"])
def table(request: pytest.FixtureRequest) -> Iterator[LimiterTable]:
    table = LimiterTable.create(KEY, slots=1 << 10)
    table.users = 1 if request.param else 2
    yield table
    table.close()


def bucket(number: int) -> int:
    return bucket_fingerprint(scope_key(KEY), number.to_bytes(4, "big"))


def rival(number: int, way: int) -> int:
    """Make a fingerprint in the first set, with a tag of its own."""
    return (number + 1) << TIME_BITS | way % WAYS


@pytest.mark.parametrize("start", [0, 1, SECOND, 10**15, LATE - SECOND, LATE - 30 * SECOND, LATE, 7 * LATE])
def test_a_full_bucket_gives_its_burst_at_once_and_then_one_per_period(
    table: LimiterTable, start: int
) -> None:
    client = bucket(1)
    assert [table.take(client, DEFAULT, start) for _ in range(150)] == [0] * 150
    assert table.take(client, DEFAULT, start) == 400_000
    assert table.take(client, DEFAULT, start + 399_999_000) == 1
    assert table.take(client, DEFAULT, start + 400_000_000) == 0
    assert table.take(client, DEFAULT, start + 400_000_000) == 400_000


def test_a_refusal_takes_nothing(table: LimiterTable) -> None:
    kind = TokenBucket(1_000_000, 1)
    assert table.take(bucket(1), kind, 0) == 0
    assert [table.take(bucket(1), kind, turn * 1_000_000) for turn in range(1, 1000)] == [
        1_000_000 - turn * 1000 for turn in range(1, 1000)
    ]
    assert table.take(bucket(1), kind, SECOND) == 0


def test_an_idle_bucket_is_full_but_never_fuller(table: LimiterTable) -> None:
    kind = TokenBucket(1_000_000, 3)
    for start in (0, 3 * SECOND, 1000 * SECOND, 86400 * 365 * SECOND):
        assert [table.take(bucket(1), kind, start) for _ in range(4)] == [0, 0, 0, 1_000_000]


def test_clients_do_not_share_a_bucket(table: LimiterTable) -> None:
    kind = TokenBucket(1_000_000, 1)
    assert [table.take(bucket(number), kind, SECOND) for number in range(300)] == [0] * 300
    assert all(table.take(bucket(number), kind, SECOND) for number in range(300))


def test_the_idlest_of_a_full_set_gives_way(table: LimiterTable) -> None:
    kind = TokenBucket(1_000_000, 100)
    clients = [rival(number, number) for number in range(WAYS)]
    for number, client in enumerate(clients):
        for _ in range(10 + number):
            assert table.take(client, kind, SECOND) == 0
    newcomer = rival(WAYS, 5)
    assert table.take(newcomer, kind, SECOND) == 0
    # The first client had the smallest debt: it alone starts with a full bucket again.
    spent = [spend_all(table, client, kind, SECOND) for client in [*clients[1:], newcomer, clients[0]]]
    assert spent[:-1] == [*(100 - 10 - number for number in range(1, WAYS)), 99]


def spend_all(table: LimiterTable, client: int, kind: TokenBucket, now_ns: int) -> int:
    """Count the tokens that are left."""
    return next(count for count in range(10_000) if table.take(client, kind, now_ns))


def test_who_owes_most_is_not_pushed_out_by_a_flood_of_others(table: LimiterTable) -> None:
    attacker = bucket(0)
    assert spend_all(table, attacker, DEFAULT, SECOND) == 150
    for number in range(1, 50_000):
        assert table.take(bucket(number), DEFAULT, SECOND) == 0
    assert table.take(attacker, DEFAULT, SECOND) == 400_000


def test_a_client_is_found_again_after_the_owner_of_its_best_slot_has_gone(table: LimiterTable) -> None:
    kind = TokenBucket(1_000_000, 2)
    first, second, third = rival(1, 3), rival(2, 3), rival(3, 3)
    assert table.take(first, kind, 0) == 0
    assert table.take(second, kind, 0) == 0
    assert table.take(second, kind, 0) == 0
    for number in range(10, 10 + WAYS):
        table.take(rival(number, number), kind, SECOND // 2)
    assert table.take(third, kind, SECOND // 2) == 0
    assert table.take(second, kind, SECOND // 2) == 500_000


def test_a_rate_that_changes_keeps_the_debt_within_the_new_capacity(table: LimiterTable) -> None:
    assert spend_all(table, bucket(1), TokenBucket(1_000_000, 10), 0) == 10
    assert table.take(bucket(1), TokenBucket(1_000_000, 11), 0) == 0
    assert table.take(bucket(1), TokenBucket(1_000_000, 11), 0) == 1_000_000
    # Eleven seconds of debt are more than this bucket can owe: they were not made under this rate.
    assert table.take(bucket(1), TokenBucket(100_000, 4), 0) == 0


@pytest.mark.parametrize("word", [0, 1, (1 << 64) - 1, 1 << 63, (1 << TIME_BITS) - 1])
@given(moment=st.integers(0, 3 * LATE))
def test_no_word_in_memory_makes_anyone_wait_long(word: int, moment: int) -> None:
    table = LimiterTable.create(KEY, slots=WAYS)
    for way in range(WAYS):
        table.words[way] = word
    client = word & -1 << TIME_BITS | 3
    wait = table.take(client, DEFAULT, moment)
    assert 0 <= wait <= DEFAULT.period_us + CLOCK_SKEW_US
    assert table.take(client, DEFAULT, moment + wait * 1000) == 0
    table.close()


@given(st.lists(st.integers(-120 * SECOND, 120 * SECOND), min_size=1, max_size=60))
def test_a_clock_that_jumps_locks_nobody_out(steps: list[int]) -> None:
    table = LimiterTable.create(KEY, slots=WAYS)
    kind = TokenBucket(400_000, 5)
    now = 10**15
    for step in steps:
        now += step
        wait = table.take(bucket(1), kind, now)
        assert wait <= kind.period_us + CLOCK_SKEW_US
        assert not wait or table.take(bucket(1), kind, now + wait * 1000) == 0
    table.close()


@pytest.mark.parametrize("late_us", [1, 1000, 9_000_000])
def test_a_worker_with_a_late_reading_of_the_clock_neither_refills_a_bucket_nor_is_refilled(
    table: LimiterTable, late_us: int
) -> None:
    kind = TokenBucket(1_000_000, 5)
    now = 100 * SECOND
    assert spend_all(table, bucket(1), kind, now) == 5
    assert table.take(bucket(1), kind, now - late_us * 1000) == 1_000_000 + late_us
    assert table.take(bucket(1), kind, now) == 1_000_000
    assert spend_all(table, bucket(1), kind, now + 3 * SECOND) == 3
    assert table.take(bucket(1), kind, now + 3 * SECOND - late_us * 1000) > 0


def test_a_table_is_attached_by_its_descriptors(table: LimiterTable) -> None:
    memory, lock = table.descriptors
    other = LimiterTable.attach(os.dup(memory), os.dup(lock))
    assert other.key == KEY
    assert other.users == table.users
    assert spend_all(table, bucket(1), DEFAULT, SECOND) == 150
    assert other.take(bucket(1), DEFAULT, SECOND) == 400_000
    other.close()


def test_another_layout_is_refused() -> None:
    region = SharedMemory.create(KIND, layout=LAYOUT + 1, size=4096)
    lock = StripedLock.create()
    with pytest.raises(LayoutMismatchError):
        LimiterTable.attach(region.descriptor, lock.descriptor)
    region.close()
    lock.close()


@pytest.mark.parametrize("slots", [0, 4, 12, 1000])
def test_a_number_of_slots_that_makes_no_whole_sets_is_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        LimiterTable.create(KEY, slots=slots)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 octets, not 3"):
        LimiterTable.create(b"key", slots=8)


def test_a_million_clients_take_at_most_64_megabytes() -> None:
    table = LimiterTable.create(KEY)
    assert table.words.nbytes <= 64 * 1024 * 1024
    assert len(table.words) >= 4 * 1_000_000
    table.close()


TAKER = """
import sys
from proxy.traffic.limiter import CLOCK_SKEW_US, TokenBucket
from proxy.traffic.limiter_table import LimiterTable
table = LimiterTable.attach(int(sys.argv[1]), int(sys.argv[2]))
kind = TokenBucket(1_000_000, 2000)
print("ready", flush=True)
sys.stdin.readline()
print(sum(not table.take(77, kind, 5_000) for _ in range(3000)), table.busy)
"""


def test_workers_at_the_same_time_admit_exactly_the_burst() -> None:
    table = LimiterTable.create(KEY, slots=WAYS)
    command = [sys.executable, "-c", TAKER, *map(str, table.descriptors)]
    workers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=table.descriptors
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    admitted = busy = 0
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        output, _ = worker.communicate()
        admitted += int(output.split()[0])
        busy += int(output.split()[1])
    # A decision made without its lock may lose an update; with locks it is exact.
    assert 2000 <= admitted <= 2000 + busy
    table.close()


HOLDER = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 0)
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_stopped_worker_that_holds_every_lock_holds_nobody_up() -> None:
    table = LimiterTable.create(KEY, slots=1 << 10)
    lock = table.descriptors[1]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[lock],
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
        assert spend_all(table, bucket(1), DEFAULT, SECOND) == 150
        assert table.busy == 150
        holder.kill()
    assert table.take(bucket(2), DEFAULT, SECOND) == 0
    assert table.busy == 150
    table.close()


def test_who_floods_one_set_with_random_fingerprints_cannot_refill_a_bucket() -> None:
    table = LimiterTable.create(KEY, slots=1 << 10)
    draw = random.Random(3)
    attacker = draw.getrandbits(64)
    admitted = 0
    for _ in range(20_000):
        admitted += not table.take(attacker, DEFAULT, SECOND)
        table.take(draw.getrandbits(64), DEFAULT, SECOND)
    assert admitted == 150
    table.close()
