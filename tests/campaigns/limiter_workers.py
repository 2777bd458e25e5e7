"""Let several workers admit requests of one client, while some are killed, and compare with the ideal number.

`python -m tests.campaigns.limiter_workers [SECONDS] [WORKERS] [KILLS]` runs it (20 s, 4 workers, 20 kills
by default); the suite runs half a second. Each worker asks as fast as it can by the real clock until a
common end, and counts what it was allowed in a word of its own.
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

KIND: Final = TokenBucket(1_000, 100)
CLIENT: Final = 7 << 44 | 3
SECOND: Final = 1_000_000_000
ADMITTED, ASKED, BUSY, BEGAN = range(4)
ASKED_PER_SIGN: Final = 2_000
MOST_SIGNS: Final = 20
WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all workers were allowed, and what one ideal bucket would have allowed in that time."""

    workers: int
    kills: int
    asked: int
    busy: int
    admitted: int
    ideal: int


def work(memory: int, lock: int, counts: int, index: int, end_ns: int) -> None:
    """Ask until the end; words of its own tell when it began and how often it was allowed."""
    table = LimiterTable.attach(memory, lock)
    words = SharedMemory.attach(counts, "counts", layout=1).words[index * WORDS : (index + 1) * WORDS]
    os.set_blocking(sys.stdout.fileno(), False)
    words[BEGAN] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    while (now := time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < end_ns:
        if not table.take(CLIENT, KIND, now):
            words[ADMITTED] += 1
        words[ASKED] += 1
        words[BUSY] = table.busy
        if words[ASKED] % ASKED_PER_SIGN == 0:
            with contextlib.suppress(BlockingIOError):
                os.write(sys.stdout.fileno(), b".")


def run(seconds: float, workers: int, kills: int, seed: int = 1) -> Outcome:
    """Start the workers, kill and replace some at random moments, and add up what they counted."""
    draw = random.Random(seed)
    table = LimiterTable.create(bytes(range(32)), slots=8)
    counts = SharedMemory.create("counts", layout=1, size=8 * WORDS * (workers + kills))
    end = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * SECOND)

    def start(index: int) -> subprocess.Popen[bytes]:
        inherited = (*table.descriptors, counts.descriptor)
        command = [sys.executable, "-m", "tests.campaigns.limiter_workers", "work", *map(str, inherited)]
        return subprocess.Popen(
            [*command, str(index), str(end)], pass_fds=inherited, stdout=subprocess.PIPE, bufsize=0
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
    began = min(word for word in counts.words[BEGAN::WORDS] if word)
    admitted, asked, busy = (sum(counts.words[kind::WORDS]) for kind in (ADMITTED, ASKED, BUSY))
    # Somebody always asks, so every token is taken as soon as it is there.
    ideal = KIND.burst + (end - began) // 1000 // KIND.period_us
    table.close()
    counts.close()
    return Outcome(workers, kills, asked, busy, admitted, ideal)


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
        print(run(given[0], int(given[1]), int(given[2])), f"{os.cpu_count()} CPUs")
