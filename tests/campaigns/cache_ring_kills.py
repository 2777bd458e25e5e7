"""Kill and stop workers at random instants while they store, look up, write and lead in one shared cache.

`python -m tests.campaigns.cache_ring_kills [ROUNDS] [SEED]` runs it (1,000 rounds by default); the suite runs a few.
Each worker plays app and proxy at once. A target's version lies in a word that one worker alone raises; then it
invalidates, and then it acknowledges the version. What must hold whatever happens to the workers:

- crossed: no lookup gives another target's or user's answer, or one that is not whole;
- stale: no lookup that begins after a version was acknowledged gives an older one;
- two workers never lead for one key together: each leader raises a word without any other lock, so
  that two would lose a count (`unexplained`; a worker killed between raising and counting explains one);
- while one worker is dead or stopped, the others get on, and still store.

The ring is small and many answers are large, so that it goes round every few dozen of them.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from proxy.caching.claims import Claim
from proxy.caching.front import Freshness, Front, freshness_of
from proxy.caching.identity import Identity, identify
from proxy.caching.key import compile_rules, key_base
from proxy.caching.layout import SMALLEST
from proxy.caching.policy import Verdict
from proxy.caching.record import SECOND
from proxy.caching.ring import Put
from proxy.caching.store import CacheDescriptors, Fetched, Store, create_cache
from proxy.config.schema import Cache
from proxy.shared_memory import SharedMemory
from tests.campaigns.progress import Progress, show_life

SECRET: Final = bytes(range(32))
SITE: Final = b"app.example.com"
BASE: Final = key_base(b"http", SITE, 80)
KIND: Final = "campaign"
WORKERS: Final = 3
TARGETS: Final = 24
USERS: Final = 3
LEADS: Final = 2
COUNTERS: Final = 8
HITS, STORED, BUSY, CROSSED, STALE, LED, VOID, LOOPS = range(COUNTERS)
VERSIONS: Final = 0
ACKNOWLEDGED: Final = VERSIONS + TARGETS
RAISED: Final = ACKNOWLEDGED + TARGETS
COUNTED: Final = RAISED + LEADS
LOOPS_PER_SIGN_OF_LIFE: Final = 16
#: Sizes of answers, in lines of about ten octets; a few of the longest fill the ring.
LINES: Final = (1, 10, 100, 1000, 4500)
VERDICT: Final = Verdict(reason=None, lifetime=3.0, error_for=30.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run saw; `crossed`, `stale` and `unexplained` must be 0."""

    kills: int
    stops: int
    hits: int
    stored: int
    busy: int
    void: int
    led: int
    crossed: int
    stale: int
    unexplained: int


def body_of(target: int, user: int, version: int, size: int) -> bytes:
    """Make an answer that names its target, user and version, and shows whether it is whole."""
    line = b"%d %d %d\n" % (target, user, version)
    content = line * size
    return blake2b(content, digest_size=16).digest() + content


def version_in(body: bytes, target: int, user: int) -> int | None:
    """Read the version out of an answer; None if it is another's or not whole."""
    digest, content = body[:16], body[16:]
    if blake2b(content, digest_size=16).digest() != digest:
        return None
    found_target, found_user, version = map(int, content.partition(b"\n")[0].split())
    return version if (found_target, found_user) == (target, user) else None


class Worker:
    """One worker's loop; `index` says which targets it may write and where it counts."""

    def __init__(self, cache: CacheDescriptors, memory: SharedMemory, index: int, seed: int) -> None:
        rules = compile_rules(Cache(), SECRET)
        self._front = Front(Store(cache, SECRET), limit=64 * 1024)
        self._store = self._front.store
        self._words = memory.words
        self._index = index
        self._draw = random.Random(seed)
        self._users: list[Identity] = [
            identify(((b"cookie", b"session=%d" % user),) if user else (), rules) for user in range(USERS)
        ]
        first = COUNTED + index * COUNTERS
        self._counters = memory.words[first : first + COUNTERS]

    def step(self) -> None:
        """Do one random thing."""
        draw = self._draw
        chance = draw.random()
        if chance < 0.05:
            self._write(draw.randrange(TARGETS // WORKERS) * WORKERS + self._index)
        elif chance < 0.2:
            self._lead(draw.randrange(LEADS))
        else:
            self._read(draw.randrange(TARGETS), draw.randrange(USERS))
        self._counters[LOOPS] += 1

    def _write(self, target: int) -> None:
        words = self._words
        version = words[VERSIONS + target] + 1
        words[VERSIONS + target] = version
        self._store.invalidations.invalidate(SITE, [b"/%d" % target], self._users[0])
        words[ACKNOWLEDGED + target] = version

    def _read(self, target: int, user: int) -> None:
        identity, path = self._users[user], b"/%d" % target
        acknowledged = self._words[ACKNOWLEDGED + target]
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        entry = self._front.lookup(BASE, path, identity, now) if self._draw.random() < 0.5 else None
        if entry is None:
            found, entry = self._front.find(BASE, path, identity, now)
            if entry is None or freshness_of(entry.stored, now) is not Freshness.FRESH:
                self._fill(found.key, target, user, now)
                return
        self._counters[HITS] += 1
        version = version_in(entry.body, target, user)
        if version is None:
            self._counters[CROSSED] += 1
        elif version < acknowledged:
            self._counters[STALE] += 1

    def _fill(self, key: bytes, target: int, user: int, now: int) -> None:
        identity, path = self._users[user], b"/%d" % target
        stamp = self._store.invalidations.begin(SITE, path, path, identity)
        version = self._words[VERSIONS + target]
        body = body_of(target, user, version, self._draw.choice(LINES))
        response = Fetched(
            status=200, reason=b"", block=b"", body=body, arrived=now, verdict=VERDICT, stamp=stamp
        )
        outcome = self._store.put(key, identity, response, now)
        self._counters[{Put.STORED: STORED, Put.BUSY: BUSY}.get(outcome, VOID)] += 1

    def _lead(self, number: int) -> None:
        key = blake2b(b"%d" % number, digest_size=32).digest()
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self._store.claims.claim(key, 1, now=now, deadline=now + 3600 * SECOND) is not Claim.LEAD:
            return
        raised = self._words[RAISED + number] + 1
        self._read(self._draw.randrange(TARGETS), self._draw.randrange(USERS))
        self._words[RAISED + number] = raised
        self._counters[LED] += 1
        self._store.claims.release(key, 1)


def work(arguments: list[int]) -> None:
    """Work for ever; the arguments are three cache descriptors, memory, life, index and seed."""
    *cache, memory, life, index, seed = arguments
    shared = SharedMemory.attach(memory, KIND, layout=1)
    worker = Worker(CacheDescriptors(*cache), shared, index, seed)
    os.set_blocking(life, False)
    for loop in range(sys.maxsize):
        worker.step()
        if loop % LOOPS_PER_SIGN_OF_LIFE == 0:
            show_life(life)


def start(cache: CacheDescriptors, memory: SharedMemory, index: int, seed: int) -> Progress:
    """Start a worker process."""
    reading, life = os.pipe()
    inherited = (*cache, memory.descriptor, life)
    command = [sys.executable, "-m", "tests.campaigns.cache_ring_kills", "work"]
    process = subprocess.Popen([*command, *map(str, (*inherited, index, seed))], pass_fds=inherited)
    os.close(life)
    return Progress(process, reading)


def run(rounds: int, seed: int) -> Outcome:
    """Do `rounds` random kills and stops and report; raises AssertionError when a worker is held up."""
    draw = random.Random(seed)
    cache = create_cache(SMALLEST, 1024)
    memory = SharedMemory.create(KIND, layout=1, size=8 * (COUNTED + WORKERS * COUNTERS))
    workers = [start(cache, memory, index, seed + index) for index in range(WORKERS)]
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
                await_all(others)
                workers[victim] = start(cache, memory, victim, seed + WORKERS + turn)
            else:
                workers[victim].signal(signal.SIGSTOP)
                await_all(others)
                workers[victim].signal(signal.SIGCONT)
            workers[victim].await_progress()
    finally:
        for worker in workers:
            worker.end()
    outcome = summarise(memory.words, kills, rounds)
    memory.close()
    for descriptor in cache:
        os.close(descriptor)
    return outcome


def await_all(workers: list[Progress]) -> None:
    """Wait until each of these workers has done something."""
    for worker in workers:
        worker.await_progress()


def summarise(words: memoryview, kills: int, rounds: int) -> Outcome:
    """Add up what the workers counted."""
    total = [sum(words[COUNTED + kind :: COUNTERS]) for kind in range(COUNTERS)]
    # Each kill, the last ones too, may have come between raising and counting.
    lost = sum(words[RAISED : RAISED + LEADS]) - total[LED]
    return Outcome(
        kills=kills,
        stops=rounds - kills,
        hits=total[HITS],
        stored=total[STORED],
        busy=total[BUSY],
        void=total[VOID],
        led=total[LED],
        crossed=total[CROSSED],
        stale=total[STALE],
        unexplained=max(0, lost - kills - WORKERS) + max(0, -lost),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work([int(argument) for argument in sys.argv[2:]])
    else:
        wanted_rounds, wanted_seed = (*map(int, sys.argv[1:3]), 1000, 1)[:2]
        found = run(wanted_rounds, wanted_seed)
        print(found)
        sys.exit(found.crossed != 0 or found.stale != 0 or found.unexplained != 0)
