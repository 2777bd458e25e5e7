"""Flood the limiter's table from a million addresses while honest clients browse.

`python -m tests.campaigns.limiter_flood [ADDRESSES] [HONEST] [SLOTS]` runs it in full size; the suite runs
a small one. Each flooding address first uses its whole burst up and goes on asking; the honest clients stay
within the limit, so that each refusal of one is the table's fault. It reports the memory that the table has
taken, and the time of a decision for each tenth of the flood: it must not depend on how full the table is.
"""

import os
import random
import sys
import time
from dataclasses import dataclass
from typing import Final

from proxy.traffic.limiter import TokenBucket, bucket_fingerprint, scope_key
from proxy.traffic.limiter_table import DEFAULT_SLOTS, LimiterTable

KEY: Final = bytes(range(32))
# A small burst lets a flood of a million exhaust every bucket in a few million requests.
FLOODED: Final = TokenBucket.of(3, 3600, 3)
HONEST: Final = TokenBucket.of(150, 60, 150)
PARTS: Final = 10
SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the flood did: the honest clients that were refused at least once, and what the table took."""

    addresses: int
    honest: int
    honest_limited: int
    flood_refused: int
    table_bytes: int
    resident_bytes: int
    ns_per_decision: tuple[int, ...]


def run(addresses: int, honest: int, slots: int, seed: int = 1) -> Outcome:
    """Flood a table with locks, as with several workers; the honest clients ask in between."""
    table = LimiterTable.create(KEY, slots=slots)
    before = _shared_memory_bytes()
    draw = random.Random(seed)
    scope = scope_key(KEY, "site", "app.example.com")
    browsing = [bucket_fingerprint(scope, b"honest" + number.to_bytes(8, "big")) for number in range(honest)]
    limited: set[int] = set()
    refused = 0
    costs = []
    now = 1000 * SECOND
    for part in range(PARTS):
        members = range(part * addresses // PARTS, (part + 1) * addresses // PARTS)
        flood = [bucket_fingerprint(scope, number.to_bytes(8, "big")) for number in members]
        began = time.process_time_ns()
        for _ in range(FLOODED.burst + 1):
            for bucket in flood:
                refused += table.take(bucket, FLOODED, now) > 0
        costs.append((time.process_time_ns() - began) // (len(flood) * (FLOODED.burst + 1)))
        # A page of 20 requests every ten seconds is 120 a minute.
        for client in browsing:
            for _ in range(20):
                if table.take(client, HONEST, now + draw.randrange(SECOND)):
                    limited.add(client)
        now += 10 * SECOND
    resident = _shared_memory_bytes() - before
    outcome = Outcome(addresses, honest, len(limited), refused, table.words.nbytes, resident, tuple(costs))
    table.close()
    return outcome


def _shared_memory_bytes() -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["RssShmem"].split()[0]) * 1024


if __name__ == "__main__":
    sizes = (*map(int, sys.argv[1:4]), *(1_000_000, 100_000, DEFAULT_SLOTS)[len(sys.argv) - 1 :])
    print(run(*sizes[:3]), f"python {sys.version.split()[0]}, {os.cpu_count()} CPUs")
