"""Among workers one fetches a key; a leader that dies is replaced at once, one that hangs at its deadline."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy.caching.claims import Claim, NoOwnerLeftError
from proxy.caching.layout import OWNERS
from proxy.caching.record import SECOND
from proxy.caching.store import CacheDescriptors, Store, create_cache
from proxy.shared_memory import StripedLock
from tests.fakes.cache import SECRET, START

KEY = bytes(range(32))
OTHER = bytes(range(64, 96))
DEADLINE = START + 5 * SECOND

#: Claims what it is told to on standard input, answers on standard output.
PEER = """
import sys
from proxy.caching.store import CacheDescriptors, Store
store = Store(CacheDescriptors(*map(int, sys.argv[1:4])), bytes(range(32)))
print("ready", flush=True)
for line in sys.stdin:
    what, key, fingerprint, now, deadline = line.split()
    if what == "claim":
        claim = store.claims.claim(bytes.fromhex(key), int(fingerprint), now=int(now), deadline=int(deadline))
        print(claim.value, flush=True)
    else:
        store.claims.release(bytes.fromhex(key), int(fingerprint))
        print("released", flush=True)
"""


class Peer:
    """Another worker, in a process of its own."""

    def __init__(self, descriptors: CacheDescriptors) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PEER, *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def claim(self, key: bytes = KEY, fingerprint: int = 1, now: int = START) -> Claim:
        return Claim(self._tell("claim", key, fingerprint, now))

    def release(self, key: bytes = KEY, fingerprint: int = 1) -> None:
        assert self._tell("release", key, fingerprint, START) == "released"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def _tell(self, what: str, key: bytes, fingerprint: int, now: int) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {key.hex()} {fingerprint} {now} {now + 5 * SECOND}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


class Workers:
    """This process and its peers around one cache."""

    def __init__(self) -> None:
        self.descriptors = create_cache(1 << 20, 1 << 16)
        self.peers: list[Peer] = []
        self.mine = Store(self.descriptors._replace(memory=os.dup(self.descriptors.memory)), SECRET)

    def peer(self) -> Peer:
        self.peers.append(Peer(self.descriptors))
        return self.peers[-1]

    def claim(self, key: bytes = KEY, fingerprint: int = 1, now: int = START) -> Claim:
        return self.mine.claims.claim(key, fingerprint, now=now, deadline=now + 5 * SECOND)

    def close(self) -> None:
        for peer in self.peers:
            peer.end()
        self.mine.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()


def test_one_leads_and_the_other_waits(workers: Workers) -> None:
    peer = workers.peer()
    assert peer.claim() is Claim.LEAD
    assert workers.claim() is Claim.WAIT
    assert workers.claim(OTHER) is Claim.LEAD
    assert peer.claim(OTHER) is Claim.WAIT


def test_after_a_release_the_next_one_leads(workers: Workers) -> None:
    peer = workers.peer()
    peer.claim()
    peer.release()
    assert workers.claim() is Claim.LEAD
    assert peer.claim() is Claim.WAIT


def test_a_release_by_somebody_else_is_none(workers: Workers) -> None:
    peer = workers.peer()
    peer.claim()
    workers.mine.claims.release(KEY, 1)
    assert workers.claim() is Claim.WAIT


def test_a_leader_that_died_is_replaced_at_the_next_question_even_unreaped(workers: Workers) -> None:
    peer = workers.peer()
    peer.claim()
    assert workers.claim() is Claim.WAIT
    peer.process.send_signal(signal.SIGKILL)
    # It is dead but not reaped: a zombie still has its process id.
    os.waitid(os.P_PID, peer.process.pid, os.WEXITED | os.WNOWAIT)
    assert workers.claim() is Claim.LEAD


def test_one_process_does_not_lead_twice_either(workers: Workers) -> None:
    assert workers.claim() is Claim.LEAD
    assert workers.claim() is Claim.WAIT
    workers.mine.claims.release(KEY, 1)
    assert workers.claim() is Claim.LEAD


def test_a_successor_under_the_same_number_does_not_keep_a_dead_leaders_claim_alive(workers: Workers) -> None:
    peer = workers.peer()
    peer.claim()
    peer.process.kill()
    peer.process.wait()
    successor = workers.peer()
    assert successor.claim(OTHER) is Claim.LEAD
    assert workers.claim() is Claim.LEAD
    assert workers.claim(OTHER) is Claim.WAIT


def test_a_leader_that_is_stopped_keeps_its_claim_until_the_deadline(workers: Workers) -> None:
    peer = workers.peer()
    peer.claim()
    peer.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, peer.process.pid, os.WSTOPPED | os.WNOWAIT)
    assert workers.claim(now=DEADLINE - 1) is Claim.WAIT
    assert workers.claim(now=DEADLINE) is Claim.LEAD


def test_a_fetch_that_began_before_an_invalidation_is_not_waited_for(workers: Workers) -> None:
    peer = workers.peer()
    peer.claim(fingerprint=1)
    assert workers.claim(fingerprint=2) is Claim.LEAD
    peer.release(fingerprint=1)
    assert peer.claim(fingerprint=2) is Claim.WAIT


def test_many_keys_at_once_are_fetched_rather_than_waited_for(workers: Workers) -> None:
    peer = workers.peer()
    keys = [bytes(16) + number.to_bytes(8, "little") + bytes(8) for number in range(1, 2000, 2)]
    assert all(workers.claim(key) is Claim.LEAD for key in keys)
    waiting = sum(peer.claim(key) is Claim.WAIT for key in keys)
    assert 0 < waiting < len(keys)


def test_a_busy_table_is_said(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StripedLock, "try_acquire", lambda *_: False)
    assert workers.claim() is Claim.BUSY


@pytest.mark.parametrize("written", [1, 2, 3, 4])
def test_a_claim_half_written_by_a_killed_worker_is_free(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    claims = workers.mine.claims
    _, bucket = claims._bucket_of(KEY)
    at, _ = claims._slots_of(bucket)[0]
    steps = [(0, 0), (1, claims._owner ^ 2), (2, DEADLINE), (3, 1)]
    claims._write(at, 77, START, 9)
    for offset, value in steps[:written]:
        workers.mine._memory.words[at + offset] = value
    assert workers.claim() is Claim.LEAD


def test_more_processes_than_places_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = create_cache(1 << 20, 1 << 16)
    monkeypatch.setattr(StripedLock, "try_acquire", lambda *_: False)
    with pytest.raises(NoOwnerLeftError, match=str(OWNERS)):
        Store(descriptors, SECRET)
    for descriptor in descriptors:
        os.close(descriptor)
