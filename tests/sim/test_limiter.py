"""The shared table decides as an ideal token bucket does, through restarts, suspends and clock steps."""

import os
import random
from dataclasses import dataclass, field

import pytest

from proxy.traffic.limiter import TokenBucket, bucket_fingerprint, scope_key
from proxy.traffic.limiter_state import SavedLimits, restore, save
from proxy.traffic.limiter_table import LimiterTable

KEY = bytes(range(32))
SECOND = 1_000_000_000


@dataclass(slots=True)
class IdealBucket:
    """A bucket as textbooks have it: a number of tokens, refilled with time; in microseconds of refilling."""

    kind: TokenBucket
    filled_us: int = -1
    seen_us: int = 0

    def take(self, now_us: int) -> int:
        """Take a token if there is a whole one; returns the microseconds until there is, else 0."""
        capacity = self.kind.burst * self.kind.period_us
        if self.filled_us < 0:
            self.filled_us = capacity
        else:
            self.filled_us = min(capacity, self.filled_us + now_us - self.seen_us)
        self.seen_us = now_us
        if self.filled_us < self.kind.period_us:
            return self.kind.period_us - self.filled_us
        self.filled_us -= self.kind.period_us
        return 0


@dataclass(slots=True)
class Machine:
    """A machine's clocks, and the proxy's processes that share one table."""

    draw: random.Random
    boottime_ns: int
    wall_ns: int
    workers: list[LimiterTable] = field(default_factory=list)

    def start(self, table: LimiterTable, count: int) -> None:
        memory, lock = table.descriptors
        self.workers = [LimiterTable.attach(os.dup(memory), os.dup(lock)) for _ in range(count)]
        self.workers.append(table)

    def pass_time(self, ns: int) -> None:
        self.boottime_ns += ns
        self.wall_ns += ns

    def step_wall_clock(self) -> None:
        """Set the clock, by up to a year in either direction: the limiter must not notice."""
        self.wall_ns += self.draw.randrange(-(365 * 86400), 365 * 86400) * SECOND

    def replace_a_worker(self) -> None:
        """Kill one and start another, as after a crash or a reload."""
        memory, lock = self.workers[-1].descriptors
        self.workers[0].close()
        self.workers[0] = LimiterTable.attach(os.dup(memory), os.dup(lock))

    def restart(self, ideal: dict[int, IdealBucket], *, reboot: bool) -> None:
        """Stop, save, wait, and start anew, perhaps with a machine whose BOOTTIME begins again."""
        count = len(self.workers) - 1
        saved = save(self.workers[-1], self.boottime_ns, self.wall_ns).to_bytes()
        slots = len(self.workers[-1].words)
        for worker in self.workers:
            worker.close()
        before_us = self.boottime_ns // 1000
        away_ns = self.draw.randrange(20 * SECOND)
        self.wall_ns += away_ns
        self.boottime_ns = self.draw.randrange(60 * SECOND) if reboot else self.boottime_ns + away_ns
        table = LimiterTable.create(KEY, slots=slots)
        restore(SavedLimits.from_bytes(saved), table, self.boottime_ns, self.wall_ns)
        self.start(table, count)
        for bucket in ideal.values():
            # By the wall clock, the time away counts as any other.
            bucket.seen_us += self.boottime_ns // 1000 - away_ns // 1000 - before_us

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


KINDS = [
    TokenBucket.of(150, 60, 150),
    TokenBucket.of(10, 1, 20),
    TokenBucket.of(7, 60, 3),
    TokenBucket.of(1, 1, 1),
]


@pytest.mark.parametrize(
    "uptime_s", [0, 1000, (1 << 44) // 1_000_000 - 300], ids=["boot", "early", "wrapping"]
)
@pytest.mark.parametrize("seed", range(4))
def test_decisions_are_those_of_an_ideal_token_bucket(seed: int, uptime_s: int) -> None:
    draw = random.Random(seed)
    machine = Machine(draw, uptime_s * SECOND + draw.randrange(SECOND), 1_790_000_000 * SECOND)
    machine.start(LimiterTable.create(KEY, slots=1 << 14), count=2)
    scope = scope_key(KEY, "site", "app.example.com")
    fingerprints = [bucket_fingerprint(scope, number.to_bytes(4, "big")) for number in range(500)]
    ideal = {number: IdealBucket(draw.choice(KINDS)) for number in range(500)}
    decisions = allowed = 0
    for _ in range(20_000):
        # A few clients at a time send bursts, so that buckets run dry, and come back at edges of a period.
        number = int(500 * draw.random() ** 3)
        bucket = ideal[number]
        for _ in range(draw.choice((1, 1, 1, 2, 5, 40))):
            worker = draw.choice(machine.workers)
            wait = worker.take(fingerprints[number], bucket.kind, machine.boottime_ns)
            assert wait == bucket.take(machine.boottime_ns // 1000)
            decisions += 1
            allowed += not wait
        machine.pass_time(
            draw.choice((0, 1, 999, 1000, draw.randrange(SECOND // 100), wait * 1000, wait * 1000 - 1))
        )
        happens = draw.random()
        if happens < 0.001:
            machine.pass_time(draw.randrange(3600 * SECOND))
        elif happens < 0.004:
            machine.step_wall_clock()
        elif happens < 0.005:
            machine.replace_a_worker()
        elif happens < 0.006:
            machine.restart(ideal, reboot=draw.random() < 0.5)
    assert 0.2 < allowed / decisions < 0.9
    machine.close()


def test_the_default_limit_admits_150_at_once_and_150_a_minute_for_a_day() -> None:
    table = LimiterTable.create(KEY, slots=8)
    table.users = 1
    kind = KINDS[0]
    now = 5 * SECOND
    end = now + 24 * 3600 * SECOND
    admitted = 0
    while now < end:
        wait = table.take(7 << 44, kind, now)
        admitted += not wait
        now += wait * 1000
    assert admitted == 150 + 24 * 60 * 150 - 1
    table.close()
