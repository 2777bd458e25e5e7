"""Kill and stop workers at random instants while they use counters, slots and locks of one shared memory.

`python -m tests.campaigns.shared_memory_kills [ROUNDS] [SEED]` runs it (1,000 rounds by default); the suite
runs a few rounds. Each worker draws a slot, raises it under the stripe's lock, and then counts that in words
of its own. Three things must hold whatever happens to the workers:

- every word read is whole: a slot carries its value twice;
- a slot's value is the sum of what all workers counted, plus at most one for each death (a worker that was
  killed between storing and counting): two workers were never in one stripe together;
- while one worker is dead or stopped, the others get on.
"""

import os
import random
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from proxy.shared_memory import SharedMemory, StripedLock

KIND: Final = "slots"
LAYOUT: Final = 1
WORKERS: Final = 3
SLOTS: Final = 8
STRIPES: Final = 4
COUNTERS_PER_WORKER: Final = 4
STORED, BUSY, TORN, LOOPS = range(COUNTERS_PER_WORKER)
PATIENCE_S: Final = 20.0
LOOPS_PER_SIGN_OF_LIFE: Final = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run saw; `unexplained` and `torn` must be 0, `lost` at most `kills`."""

    kills: int
    stops: int
    stored: int
    busy: int
    lost: int
    unexplained: int
    torn: int


def twice(value: int) -> int:
    """Write a 32-bit value into both halves of a word."""
    return value << 32 | value


def work(memory_descriptor: int, lock_descriptor: int, life_descriptor: int, index: int, seed: int) -> None:
    """Raise slots for ever, as the worker `index`."""
    words = SharedMemory.attach(memory_descriptor, KIND, layout=LAYOUT).words
    lock = StripedLock(lock_descriptor)
    counters = words[SLOTS + index * COUNTERS_PER_WORKER : SLOTS + (index + 1) * COUNTERS_PER_WORKER]
    draw = random.Random(seed)
    os.set_blocking(life_descriptor, False)
    while True:
        slot = draw.randrange(SLOTS)
        if not _is_whole(words[slot]):
            counters[TORN] += 1
        if lock.try_acquire(slot % STRIPES):
            words[slot] = twice((words[slot] & 0xFFFFFFFF) + 1)
            counters[STORED] += 1
            lock.release(slot % STRIPES)
        else:
            counters[BUSY] += 1
        counters[LOOPS] += 1
        if counters[LOOPS] % LOOPS_PER_SIGN_OF_LIFE == 0:
            _show_life(life_descriptor)


def _is_whole(word: int) -> bool:
    return word >> 32 == word & 0xFFFFFFFF


def _show_life(descriptor: int) -> None:
    try:
        os.write(descriptor, b".")
    except BlockingIOError:
        return


class _Worker:
    """One worker process, and the pipe on which it shows that it gets on."""

    def __init__(self, memory: SharedMemory, lock: StripedLock, index: int, seed: int) -> None:
        self._life, life = os.pipe()
        inherited = (memory.descriptor, lock.descriptor, life)
        arguments = [*map(str, inherited), str(index), str(seed)]
        command = [sys.executable, "-m", "tests.campaigns.shared_memory_kills", "work", *arguments]
        self._process = subprocess.Popen(command, pass_fds=inherited)
        os.close(life)

    def await_progress(self) -> None:
        """Wait until the worker has done something after this call."""
        os.set_blocking(self._life, False)
        while _read_some(self._life):
            pass
        if not select.select([self._life], [], [], PATIENCE_S)[0] or not _read_some(self._life):
            raise AssertionError(f"worker {self._process.pid} does not get on")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill the worker, stopped or not, and wait for its end."""
        self._process.kill()
        self._process.wait()
        os.close(self._life)


def _read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def run(rounds: int, seed: int) -> Outcome:
    """Do `rounds` random kills and stops and report; raises AssertionError when a worker is held up."""
    draw = random.Random(seed)
    memory = SharedMemory.create(KIND, layout=LAYOUT, size=8 * (SLOTS + WORKERS * COUNTERS_PER_WORKER))
    lock = StripedLock.create()
    workers = [_Worker(memory, lock, index, seed + index) for index in range(WORKERS)]
    kills = 0
    try:
        for worker in workers:
            worker.await_progress()
        for turn in range(rounds):
            victim = draw.randrange(WORKERS)
            others = [worker for index, worker in enumerate(workers) if index != victim]
            if draw.random() < 0.5:
                kills += 1
                workers[victim].end()
                _await_all(others)
                workers[victim] = _Worker(memory, lock, victim, seed + WORKERS + turn)
            else:
                workers[victim].signal(signal.SIGSTOP)
                _await_all(others)
                workers[victim].signal(signal.SIGCONT)
            workers[victim].await_progress()
    finally:
        for worker in workers:
            worker.end()
    return _outcome(memory.words, kills, rounds)


def _await_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.await_progress()


def _outcome(words: memoryview, kills: int, rounds: int) -> Outcome:
    slots, counters = words[:SLOTS], words[SLOTS:]
    raised = sum(word & 0xFFFFFFFF for word in slots)
    stored, busy, torn = (sum(counters[kind::COUNTERS_PER_WORKER]) for kind in (STORED, BUSY, TORN))
    # The workers are ended by a kill too, each of which may have come between storing and counting.
    lost = raised - stored
    unexplained = max(0, lost - kills - WORKERS) + max(0, -lost)
    torn += sum(not _is_whole(word) for word in slots)
    return Outcome(kills, rounds - kills, stored, busy, lost, unexplained, torn)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*map(int, sys.argv[2:7]))
    else:
        wanted_rounds, wanted_seed = (*map(int, sys.argv[1:3]), 1000, 1)[:2]
        found = run(wanted_rounds, wanted_seed)
        print(found)
        sys.exit(found.unexplained != 0 or found.torn != 0)
