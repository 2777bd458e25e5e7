"""Connections are counted over all workers, and those of a process that has ended are not."""

import os
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.shared_memory import LayoutMismatchError, SharedMemory
from proxy.traffic.connection_limits import (
    KIND,
    LAYOUT,
    ROWS,
    Admission,
    ConnectionRows,
    SharedConnectionCounter,
)

Start = Callable[[], SharedConnectionCounter]
ALICE, BOB = 0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321


@pytest.fixture
def rows() -> Iterator[ConnectionRows]:
    rows = ConnectionRows.create()
    yield rows
    rows.memory.close()


@pytest.fixture
def start(rows: ConnectionRows) -> Iterator[Start]:
    """Start workers, each with a row of its own."""
    workers: list[SharedConnectionCounter] = []

    def start_worker() -> SharedConnectionCounter:
        descriptor = os.dup(rows.memory.descriptor)
        workers.append(SharedConnectionCounter.attach(descriptor, rows.claim(), reserve=2))
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.close()


def opened(
    worker: SharedConnectionCounter,
    client: int | None = ALICE,
    *,
    per_client: int = 3,
    in_all: int = 100,
    plain: bool = False,
) -> Admission:
    return worker.opened(client, per_client=per_client, in_all=in_all, plain=plain)


def test_a_client_has_so_many_connections_over_all_workers(start: Start) -> None:
    first, second = start(), start()
    assert [opened(worker) for worker in (first, second, first)] == [Admission.ADMITTED] * 3
    assert opened(first) is opened(second) is Admission.CLIENT_FULL
    assert opened(second, BOB) is Admission.ADMITTED


def test_a_connection_that_closes_makes_room(start: Start) -> None:
    first, second = start(), start()
    for _ in range(3):
        opened(first)
    first.closed(ALICE)
    assert opened(second) is Admission.ADMITTED
    assert opened(second) is Admission.CLIENT_FULL


def test_a_refused_connection_is_not_counted(start: Start, rows: ConnectionRows) -> None:
    worker = start()
    for _ in range(10):
        opened(worker, ALICE, per_client=2, in_all=100)
        opened(worker, BOB, in_all=3)
        opened(worker, None, in_all=3)
    assert worker.total() == rows.total() == 4
    assert (worker.of_client(ALICE), worker.of_client(BOB)) == (2, 1)


def test_clients_without_a_fingerprint_count_in_all_alone(start: Start) -> None:
    worker = start()
    assert [opened(worker, None, in_all=5) for _ in range(6)] == [Admission.ADMITTED] * 5 + [Admission.FULL]
    worker.closed(None)
    assert opened(worker, None, in_all=5) is Admission.ADMITTED


def test_a_few_places_are_kept_for_challenges_on_plain_http(start: Start) -> None:
    first, second = start(), start()
    for worker in (first, second):
        opened(worker, None, in_all=2)
    assert opened(first, None, in_all=2) is Admission.FULL
    assert opened(first, None, in_all=2, plain=True) is Admission.RESERVED
    assert opened(second, None, in_all=2, plain=True) is Admission.RESERVED
    assert opened(second, None, in_all=2, plain=True) is Admission.FULL
    first.closed(None)
    assert opened(second, None, in_all=2, plain=True) is Admission.RESERVED


def test_the_connections_of_a_process_that_ended_are_not_counted(start: Start, rows: ConnectionRows) -> None:
    first, second = start(), start()
    for _ in range(3):
        opened(first)
    assert opened(second) is Admission.CLIENT_FULL
    rows.release(0)
    assert opened(second) is Admission.ADMITTED
    assert second.total() == 1


def test_the_row_of_an_ended_process_starts_empty_for_its_successor(
    start: Start, rows: ConnectionRows
) -> None:
    first, second = start(), start()
    opened(first)
    rows.release(0)
    # What a process that was not dead yet still writes is cleared once more when the row is handed out.
    opened(first)
    opened(first, BOB)
    successor = start()
    assert rows.in_use() == (0, 1)
    assert second.total() == second.of_client(ALICE) == second.of_client(BOB) == 0
    assert [opened(successor) for _ in range(4)] == [Admission.ADMITTED] * 3 + [Admission.CLIENT_FULL]


def test_rows_are_handed_out_until_there_are_none(rows: ConnectionRows) -> None:
    assert [rows.claim() for _ in range(ROWS)] == list(range(ROWS))
    with pytest.raises(RuntimeError, match=f"more than {ROWS} processes"):
        rows.claim()
    rows.release(7)
    assert rows.claim() == 7


def test_closing_what_was_never_opened_is_an_error(start: Start) -> None:
    with pytest.raises(ValueError, match="."):  # noqa: RUF043  # the wording is Python's
        start().closed(ALICE)


def test_another_layout_is_refused() -> None:
    region = SharedMemory.create(KIND, layout=LAYOUT + 1, size=4096)
    with pytest.raises(LayoutMismatchError):
        SharedConnectionCounter.attach(region.descriptor, 0)
    region.close()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans()), max_size=200))
def test_counts_are_those_of_a_plain_model(steps: list[tuple[int, int, bool]]) -> None:
    rows = ConnectionRows.create()
    draw = random.Random(1)
    clients = [draw.getrandbits(64) for _ in range(5)]
    workers = [
        SharedConnectionCounter.attach(os.dup(rows.memory.descriptor), rows.claim(), reserve=0)
        for _ in range(3)
    ]
    model: list[tuple[int, int]] = []
    for worker, client, opens in steps:
        if opens:
            held = sum(owner == client for _, owner in model)
            expected = Admission.CLIENT_FULL if held >= 4 else Admission.FULL
            expected = Admission.ADMITTED if held < 4 and len(model) < 12 else expected
            assert opened(workers[worker], clients[client], per_client=4, in_all=12) is expected
            if expected is Admission.ADMITTED:
                model.append((worker, client))
        elif (worker, client) in model:
            model.remove((worker, client))
            workers[worker].closed(clients[client])
    assert rows.total() == len(model)
    for counter in workers:
        counter.close()
    rows.memory.close()


def test_ten_thousand_honest_clients_are_not_counted_as_one_of_many_greedy_ones(start: Start) -> None:
    worker = start()
    draw = random.Random(2)
    for _ in range(80):
        greedy = draw.getrandbits(64)
        while opened(worker, greedy, per_client=256, in_all=1 << 30) is Admission.ADMITTED:
            pass
    honest = [draw.getrandbits(64) for _ in range(10_000)]
    refused = sum(worker.of_client(client) >= 256 for client in honest)
    assert refused == 0
