"""The ledger adds up living and ended workers, and never goes back."""

import os
from collections.abc import Iterator

import pytest

from proxy.shared_memory import SharedMemory
from proxy.telemetry import counters
from proxy.telemetry.counters import COUNTERS_KIND, COUNTERS_LAYOUT, MAX_SITES, NO_SITE, WorkerCounters
from proxy.telemetry.totals import NO_SITE_LABEL, CounterLedger


class FakeWorker:
    """A worker's side of a region, attached by a descriptor of its own."""

    def __init__(self, ledger: CounterLedger) -> None:
        self.ledger = ledger
        self.region = ledger.open()
        descriptor = os.dup(self.region.descriptor)
        self.own = SharedMemory.attach(descriptor, COUNTERS_KIND, layout=COUNTERS_LAYOUT)
        self.counters = WorkerCounters(self.own.words)

    def end(self) -> None:
        """Die."""
        self.ledger.retire(self.region)
        self.own.close()


@pytest.fixture
def ledger() -> CounterLedger:
    return CounterLedger()


@pytest.fixture
def workers(ledger: CounterLedger) -> Iterator[list[FakeWorker]]:
    pair = [FakeWorker(ledger), FakeWorker(ledger)]
    yield pair
    for worker in pair:
        worker.end()


def test_all_workers_count_together(ledger: CounterLedger, workers: list[FakeWorker]) -> None:
    blocks = ledger.assign(["a.test", "b.test"])
    for worker in workers:
        worker.counters.site(blocks["a.test"]).request(200, 1, 500_000_000, 10, 20)
        worker.counters.site(NO_SITE).request(404, 0, 500_000_000, 1, 2)
        worker.counters.add(counters.HTTP_OPENED, 5)
    totals = ledger.totals()
    assert totals.sites["a.test"][counters.SENT] == 40
    assert totals.sites["b.test"][counters.SENT] == 0
    assert totals.sites[NO_SITE_LABEL][counters.RECEIVED] == 2
    assert totals.process[counters.HTTP_OPENED] == 10
    assert totals.requests == ledger.requests() == 4


def test_an_ended_worker_takes_nothing_away(ledger: CounterLedger) -> None:
    blocks = ledger.assign(["a.test"])
    for round_ in range(1, 4):
        worker = FakeWorker(ledger)
        worker.counters.site(blocks["a.test"]).request(200, 1, 500_000_000, 10, 20)
        before = ledger.totals()
        worker.end()
        assert ledger.totals() == before
        assert ledger.requests() == round_


def test_what_a_worker_leaves_open_is_closed_with_it(ledger: CounterLedger) -> None:
    worker = FakeWorker(ledger)
    worker.counters.add(counters.HTTP_OPENED, 7)
    worker.counters.add(counters.HTTP_CLOSED, 4)
    worker.counters.add(counters.UPGRADED_OPENED, 2)
    worker.end()
    process = ledger.process()
    assert process[counters.HTTP_OPENED] == process[counters.HTTP_CLOSED] == 7
    assert process[counters.UPGRADED_OPENED] == process[counters.UPGRADED_CLOSED] == 2


def test_a_site_keeps_its_block_for_ever(ledger: CounterLedger) -> None:
    first = ledger.assign(["a.test", "b.test"])
    without = ledger.assign(["b.test"])
    again = ledger.assign(["c.test", "a.test"])
    assert without == first
    assert again == {**first, "c.test": 3}
    assert NO_SITE not in again.values()


def test_sites_beyond_the_last_block_share_one(ledger: CounterLedger, workers: list[FakeWorker]) -> None:
    names = [f"site{number}.test" for number in range(MAX_SITES + 2)]
    blocks = ledger.assign(names)
    assert blocks[names[MAX_SITES - 2]] == MAX_SITES - 1
    assert {blocks[name] for name in names[MAX_SITES - 1 :]} == {NO_SITE}
    workers[0].counters.site(blocks[names[-1]]).denied()
    totals = ledger.totals()
    assert totals.sites[NO_SITE_LABEL][counters.DENIED] == 1
    assert names[-1] not in totals.sites
