"""A process that stores without end and is killed again and again; run by `test_disk`.

Usage: storing.py FOLDER ROUNDS SEED. Prints one line of JSON: what was found after the kills.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from autocert.budget import Budget
from autocert.certificate import Certificate, checked
from autocert.clock import SystemClock
from autocert.ledger import Charge, Limit
from autocert.record import Record
from autocert.renewal import Backoff
from autocert.storage import Storage
from tests.fakes.root_ca import TestCa

NAMES = ("a.example.com", "b.example.com")
CHARGE = Charge("k", Limit(10**9, 1e9), "things")


def made(ca: TestCa, name: str) -> Certificate:
    key, chain = ca.issue([name])
    return checked(key, chain, names=(name,), origin="https://ca/dir", profile="", stored_at=time.time())


def store(folder: Path, certificates: list[Certificate], progress: int) -> None:
    """Store for ever, a step an octet."""
    storage = Storage(folder)
    budget = Budget(storage, SystemClock())
    count = 0
    while True:
        for certificate in certificates:
            count += 1
            name = certificate.names[0]
            storage.save_order(name, b"order")
            os.write(progress, b".")
            storage.save(name, certificate)
            os.write(progress, b".")
            storage.save_record(name, Record(names=(name,), backoff=Backoff(failures=count)))
            os.write(progress, b".")
            budget.spend([CHARGE])


def kill_at(steps: int, folder: Path, certificates: list[Certificate]) -> None:
    """Start a process that stores and kill it somewhere after so many steps."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        store(folder, certificates, writing)
    os.close(writing)
    while steps > 0 and (octets := os.read(reading, steps)):
        steps -= len(octets)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)


def faults(folder: Path) -> list[str]:
    """Return what is not as it should be after a kill."""
    storage, found = Storage(folder), []
    for name in NAMES:
        loaded = storage.load(name, time.time())
        found += [f"{name}: {damage.reason}" for damage in loaded.damage]
        if loaded.value is None:
            found.append(f"{name} is gone")
        storage.load_record(name, time.time())
    budget = Budget(storage, SystemClock())
    budget.spend([CHARGE])
    found += [f"ledger: {damage.reason}" for damage in budget.damage]
    return found + [str(path) for path in folder.rglob("*.corrupt-*")]


def main() -> None:
    """Kill it, again and again."""
    folder, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    ca = TestCa()
    certificates = [made(ca, name) for name in NAMES * 3]
    storage = Storage(folder)
    storage.prepare(time.time())
    for certificate in certificates[:2]:
        storage.save(certificate.names[0], certificate)
    found: list[str] = []
    for _ in range(rounds):
        kill_at(chance.randint(1, 8), folder, certificates)
        found += faults(folder)
    leftovers = sum(1 for _ in folder.rglob(".tmp-*"))
    storage.prepare(time.time() + 7200)
    print(json.dumps({"faults": found, "leftovers": [leftovers, sum(1 for _ in folder.rglob(".tmp-*"))]}))


if __name__ == "__main__":
    main()
