"""The most limited clients are known in bounded memory, and logged once a minute."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.limiter import TokenBucket
from proxy.traffic.limiter_table import LimiterTable
from proxy.traffic.top_clients import LimitedClient, TopClients, log_refusal_in, merge

SECOND = 1_000_000_000


def test_few_clients_are_counted_exactly_and_ordered() -> None:
    top = TopClients()
    for client, count in (("a", 3), ("b", 7), ("c", 7)):
        for _ in range(count):
            top.record(client, 10.0)
    assert top.limited(10.0) == [
        LimitedClient("b", 7, 0),
        LimitedClient("c", 7, 0),
        LimitedClient("a", 3, 0),
    ]


def test_refusals_may_be_counted_many_at_a_time() -> None:
    top = TopClients(capacity=2)
    for client, count in (("a", 5), ("b", 3), ("c", 4)):
        top.record(client, 10.0, count)
    assert top.limited(10.0) == [LimitedClient("c", 7, 3), LimitedClient("a", 5, 0)]


def test_without_refusals_the_list_is_empty() -> None:
    assert TopClients().limited(12345.0) == []


def test_counts_are_forgotten_after_five_minutes() -> None:
    top = TopClients()
    top.record("early", 0.0)
    top.record("late", 60.0)
    assert [limited.client for limited in top.limited(299.0)] == ["early", "late"]
    assert [limited.client for limited in top.limited(300.0)] == ["late"]
    assert top.limited(360.0) == []
    top.record("later", 100_000.0)
    assert [limited.client for limited in top.limited(100_000.0)] == ["later"]


def test_minutes_of_one_client_are_added_up() -> None:
    top = TopClients()
    for moment in (0.0, 61.0, 122.0):
        top.record("a", moment)
    assert top.limited(130.0) == [LimitedClient("a", 3, 0)]


def test_a_moment_before_the_last_one_is_counted_too() -> None:
    top = TopClients()
    top.record("a", 120.0)
    top.record("a", 59.9)
    assert top.limited(121.0) == [LimitedClient("a", 2, 0)]


def test_a_flood_of_ever_new_clients_neither_grows_memory_nor_hides_the_worst() -> None:
    top = TopClients(capacity=20)
    draw = random.Random(4)
    for turn in range(20_000):
        top.record("worst" if draw.random() < 0.1 else f"client {turn}", 1.0)
    limited = top.limited(1.0)
    assert len(limited) <= 20
    assert limited[0].client == "worst"


@given(st.lists(st.integers(0, 30), max_size=400), st.integers(1, 8))
def test_every_count_lies_within_its_error(refusals: list[int], capacity: int) -> None:
    top = TopClients(capacity=capacity)
    for number in refusals:
        top.record(str(number), 0.0)
    truth = Counter(map(str, refusals))
    limited = top.limited(0.0)
    assert sum(client.count for client in limited) == len(refusals)
    for client in limited:
        assert client.count - client.error <= truth[client.client] <= client.count
    listed = {client.client for client in limited}
    assert all(client in listed for client, count in truth.items() if count > len(refusals) / capacity)


def test_what_workers_counted_is_added_up() -> None:
    first = [LimitedClient("a", 5, 1), LimitedClient("b", 2, 0)]
    second = [LimitedClient("b", 4, 2)]
    assert merge([first, second, []]) == [LimitedClient("b", 6, 2), LimitedClient("a", 5, 1)]
    assert merge([first, second], most=1) == [LimitedClient("b", 6, 2)]


def test_a_refusal_is_logged_once_a_minute_for_each_client() -> None:
    table = LimiterTable.create(bytes(32), slots=1 << 10)
    moments = [second * SECOND // 10 for second in range(1300)]
    logged = [moment // SECOND for moment in moments if not log_refusal_in(table, 7 << 44, moment)]
    assert logged == [0, 60, 120]
    assert log_refusal_in(table, 8 << 44, moments[-1]) == 0
    assert log_refusal_in(table, 8 << 44, moments[-1] + SECOND) == 59_000_000
    table.close()


def test_a_flood_of_limited_clients_does_not_become_a_flood_of_lines() -> None:
    table = LimiterTable.create(bytes(32), slots=1 << 14)
    draw = random.Random(6)
    logged = sum(
        not log_refusal_in(table, draw.getrandbits(64), turn * SECOND // 1000) for turn in range(5000)
    )
    assert logged == 100 + 49
    table.close()


def test_all_workers_together_log_once_and_the_clients_own_bucket_is_left_alone() -> None:
    table = LimiterTable.create(bytes(32), slots=1 << 10)
    kind = TokenBucket(1_000_000, 1)
    draw = random.Random(5)
    buckets = [draw.getrandbits(64) for _ in range(100)]
    assert not any(log_refusal_in(table, bucket, SECOND) for bucket in buckets)
    assert all(log_refusal_in(table, bucket, SECOND) for bucket in buckets)
    assert all(table.take(bucket, kind, SECOND) == 0 for bucket in buckets)
    table.close()
