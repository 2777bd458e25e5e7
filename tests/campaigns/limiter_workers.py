"""Let several workers admit requests of one client, while some are killed, and compare with the ideal number.

`python -m tests.campaigns.limiter_workers [SECONDS] [WORKERS] [KILLS]` runs it (20 s, 4 workers, 20 kills by
default); the suite runs half a second. Each worker asks as fast as it can by the real clock for so long, and
counts what it was allowed in words of its own.

The bucket is emptied first. From then on an ideal bucket gives one token a period, and at each refusal it is
known how many that were, as long as nobody was held up for longer than the bucket takes to fill (5 s).
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from proxy.shared_memory import SharedMemory
from proxy.traffic.limiter import TokenBucket
from proxy.traffic.limiter_table import LimiterTable

KIND: Final = TokenBucket(1_000, 5_000)
CLIENT: Final = 7 << 44 | 3
SECOND: Final = 1_000_000_000
ADMITTED, ASKED, BUSY, REFUSED, LAST = range(5)
ASKED_PER_SIGN: Final = 2_000
MOST_SIGNS: Final = 20
WORDS: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all workers were allowed, and what one ideal bucket allows up to the last refusal, and to the
    end."""

    workers: int
    kills: int
    asked: int
    busy: int
    admitted: int
    ideal_at_refusal: int
    ideal_at_end: int

    @property
    def is_exact(self) -> bool:
        """Tell whether the number is the ideal one.

        A kill may lose one count. A decision that was stored without its lock may lose one update.
        """
        slack = self.workers
        at_least = self.ideal_at_refusal - self.kills - slack
        return at_least <= self.admitted <= self.ideal_at_end + self.busy + slack


def work(memory: int, lock: int, counts: int, index: int, duration_ns: int) -> None:
    """Ask for so long; words of its own tell when, and how often it was allowed."""
    table = LimiterTable.attach(memory, lock)
    words = SharedMemory.attach(counts, "counts", layout=1).words[index * WORDS : (index + 1) * WORDS]
    os.set_blocking(sys.stdout.fileno(), False)
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    end = now + duration_ns
    while now < end:
        if table.take(CLIENT, KIND, now):
            words[REFUSED] = now
        else:
            words[ADMITTED] += 1
        words[LAST] = now
        words[ASKED] += 1
        words[BUSY] = table.busy
        if words[ASKED] % ASKED_PER_SIGN == 0:
            with contextlib.suppress(BlockingIOError):
                os.write(sys.stdout.fileno(), b".")
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def run(seconds: float, workers: int, kills: int, seed: int = 1) -> Outcome:
    """Start the workers, kill and replace some at random moments, and add up what they counted."""
    draw = random.Random(seed)
    table = LimiterTable.create(bytes(range(32)), slots=8)
    counts = SharedMemory.create("counts", layout=1, size=8 * WORDS * (workers + kills))
    began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    while not table.take(CLIENT, KIND, began):
        pass

    def start(index: int) -> subprocess.Popen[bytes]:
        inherited = (*table.descriptors, counts.descriptor)
        command = [sys.executable, "-m", "tests.campaigns.limiter_workers", "work", *map(str, inherited)]
        return subprocess.Popen(
            [*command, str(index), str(int(seconds * SECOND))],
            pass_fds=inherited,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    running = [start(index) for index in range(workers)]
    for turn in range(kills):
        victim = draw.randrange(workers)
        _await_signs(running[victim], draw.randrange(1, MOST_SIGNS))
        running[victim].kill()
        running[victim].communicate()
        running[victim] = start(workers + turn)
    for process in running:
        process.communicate()
    words = counts.words
    admitted, asked, busy = (sum(words[kind::WORDS]) for kind in (ADMITTED, ASKED, BUSY))
    at_refusal, at_end = (_ideal(began, max(words[kind::WORDS])) for kind in (REFUSED, LAST))
    del words
    table.close()
    counts.close()
    return Outcome(workers, kills, asked, busy, admitted, at_refusal, at_end)


def _ideal(began_ns: int, end_ns: int) -> int:
    """Count what comes back in a bucket that was empty; nothing is known before the first refusal."""
    return (end_ns // 1000 - began_ns // 1000) // KIND.period_us if end_ns else 0


def _await_signs(process: subprocess.Popen[bytes], count: int) -> None:
    """Wait until a worker has gone on asking for a while, or has come to its end."""
    assert process.stdout
    for _ in range(count):
        if not process.stdout.read(1):
            return


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*map(int, sys.argv[2:7]))
    else:
        given = (*map(float, sys.argv[1:]), *(20.0, 4.0, 20.0)[len(sys.argv) - 1 :])
        found = run(given[0], int(given[1]), int(given[2]))
        print(found, f"{os.cpu_count()} CPUs")
        sys.exit(not found.is_exact)
