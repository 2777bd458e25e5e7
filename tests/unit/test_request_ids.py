"""Ids of requests: of one form, in order, and never twice."""

import re

from proxy.request_ids import RequestIds


def test_ids_count_on_and_are_never_the_same() -> None:
    ids = RequestIds()
    given = [ids.next() for _ in range(70_000)]
    assert all(re.fullmatch(rb"[0-9a-f]{32}", one) for one in (given[0], given[255], given[-1]))
    assert [int(one[20:], 16) for one in given] == list(range(1, 70_001))
    assert len({one[:20] for one in given}) == 1


def test_workers_have_ids_of_their_own() -> None:
    assert RequestIds().next()[:20] != RequestIds().next()[:20]
