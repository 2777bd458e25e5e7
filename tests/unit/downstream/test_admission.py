"""Connections are bounded for a client, a worker and all workers; who waits longest gives way."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proxy.downstream.admission import RESERVE, ConnectionBounds, LongestIdle
from proxy.traffic.connection_limits import Admission, ConnectionRows, SharedConnectionCounter
from proxy.traffic.limiter import scope_key

ADMITTED, RESERVED, CLIENT_FULL, FULL = (
    Admission.ADMITTED,
    Admission.RESERVED,
    Admission.CLIENT_FULL,
    Admission.FULL,
)
SCOPE = scope_key(bytes(32), "connections")
GATEWAY = bytes((172, 17, 0, 1))


@pytest.fixture
def rows() -> Iterator[ConnectionRows]:
    rows = ConnectionRows.create()
    yield rows
    rows.memory.close()


def bounds(rows: ConnectionRows, in_worker: int = 1000) -> ConnectionBounds:
    counter = SharedConnectionCounter(rows.memory, rows.claim())
    return ConnectionBounds(counter, SCOPE, in_worker=in_worker, exempt=frozenset((GATEWAY,)))


def open_many(
    bounds: ConnectionBounds, count: int, *, in_all: int = 0, plain: bool = True
) -> list[Admission]:
    return [bounds.open(None, per_client=256, in_all=in_all, plain=plain) for _ in range(count)]


def test_ipv6_clients_count_by_their_prefix_and_a_shared_gateway_not_at_all(rows: ConnectionRows) -> None:
    one = bounds(rows)
    near, far = bytes(range(8)) + bytes(8), bytes(range(8)) + b"\xff" * 8
    assert one.client(near, 64) == one.client(far, 64)
    assert one.client(near, 128) != one.client(far, 128)
    assert one.client(GATEWAY, 64) is None
    assert one.client(b"", 64) is None


def test_a_full_worker_keeps_places_for_plain_http(rows: ConnectionRows) -> None:
    full, other = bounds(rows, in_worker=3), bounds(rows)
    assert open_many(full, 4, plain=False) == [ADMITTED] * 3 + [FULL]
    assert open_many(full, RESERVE + 1) == [RESERVED] * RESERVE + [FULL]
    assert open_many(other, 1, plain=False) == [ADMITTED]
    assert full.here == 3 + RESERVE
    assert full.counter.opened(None, per_client=1, in_all=3 + RESERVE + 2, plain=False) is ADMITTED


def test_what_is_refused_for_a_full_worker_is_not_counted(rows: ConnectionRows) -> None:
    full = bounds(rows, in_worker=1)
    client = full.client(b"\1\2\3\4", 64)
    assert full.open(client, per_client=2, in_all=0, plain=False) is ADMITTED
    for _ in range(5):
        assert full.open(client, per_client=2, in_all=0, plain=False) is FULL
    assert rows.total() == 1
    full.close(client)
    assert (rows.total(), full.here) == (0, 0)


def test_all_workers_together_have_one_bound_that_may_change(rows: ConnectionRows) -> None:
    one, other = bounds(rows), bounds(rows)
    assert open_many(one, 2, in_all=4, plain=False) == [ADMITTED] * 2
    assert open_many(other, 3, in_all=4, plain=False) == [ADMITTED, ADMITTED, FULL]
    assert open_many(other, 1, in_all=5, plain=False) == [ADMITTED]
    assert open_many(one, 1, in_all=2, plain=False) == [FULL]
    assert open_many(one, 1, in_all=0, plain=False) == [ADMITTED]


def test_a_newcomer_in_the_place_of_another_still_has_its_own_bound(rows: ConnectionRows) -> None:
    one = bounds(rows)
    client = one.client(b"\1\2\3\4", 64)
    assert one.open(client, per_client=2, in_all=1, plain=False) is ADMITTED
    assert one.open(client, per_client=2, in_all=1, plain=False) is FULL
    assert one.open_instead(client, per_client=2) is ADMITTED
    assert one.open_instead(client, per_client=2) is CLIENT_FULL
    one.close(client)
    one.close(client)
    assert (rows.total(), one.here) == (0, 0)


@dataclass(eq=False)
class Connection:
    """A connection that waits, or works."""

    idle_since: float
    is_idle: bool = True


def test_who_waits_longest_comes_first_whatever_the_order_of_arrival() -> None:
    connections = [Connection(float(since)) for since in (7, 3, 9, 1, 5)]
    connections[3].is_idle = False
    idle: LongestIdle[Connection] = LongestIdle()
    taken = []
    while (found := idle.take(connections, 0.0)) is not None:
        found.is_idle = False
        taken.append(found.idle_since)
    assert taken == [3, 5, 7, 9]


def test_idle_connections_behind_thousands_of_busy_ones_are_found() -> None:
    connections = [Connection(float(number), is_idle=False) for number in range(5000)]
    connections[4321].is_idle = True
    idle: LongestIdle[Connection] = LongestIdle()
    assert idle.take(connections, 0.0) is connections[4321]


def test_who_was_used_since_the_look_is_passed_over() -> None:
    connections = [Connection(1.0), Connection(2.0), Connection(3.0)]
    idle: LongestIdle[Connection] = LongestIdle()
    first = idle.take(connections, 0.0)
    assert first is connections[0]
    first.is_idle = False
    connections[1].idle_since = 50.0
    assert idle.take(connections, 0.0) is connections[2]


def test_a_flood_of_arrivals_does_not_become_a_flood_of_looks() -> None:
    looks = 0

    def all_busy() -> Iterator[Connection]:
        nonlocal looks
        looks += 1
        yield Connection(0.0, is_idle=False)

    idle: LongestIdle[Connection] = LongestIdle()
    for turn in range(1000):
        assert idle.take(all_busy(), turn / 1000) is None
    assert looks <= 20


def test_many_give_way_in_the_order_of_their_wait() -> None:
    draw = random.Random(3)
    connections = [Connection(draw.random()) for _ in range(2000)]
    idle: LongestIdle[Connection] = LongestIdle()
    taken = []
    for turn in range(1000):
        found = idle.take(connections, float(turn))
        assert found is not None
        found.is_idle = False
        taken.append(found.idle_since)
    assert taken == sorted(connection.idle_since for connection in connections)[:1000]
