"""One fetch for many: who leads, who waits, who reads along, and why each of them goes on."""

import pytest

from proxy.caching.collapse import FillBudget, Flight, Flights, Join, Phase, Wake
from proxy.caching.invalidation import Invalidations
from proxy.caching.record import Stamp
from proxy.caching.store import Store
from tests.fakes.cache import ANYBODY, SITE, stamp_of

KEY = b"k" * 32


@pytest.fixture
def invalidations(store: Store) -> Invalidations:
    return store.invalidations


class Crowd:
    """A worker's flights, and requests named by letters."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.flights: Flights[str] = Flights(store.invalidations.is_valid)

    def begin(self) -> Stamp:
        return stamp_of(self.store)

    def join(self, waiter: str, key: bytes = KEY) -> tuple[Join, Flight[str]]:
        return self.flights.join(key, waiter, self.begin)

    def full(self, waiters: str) -> Flight[str]:
        """Let all join one flight, the first as its leader."""
        joined = [self.join(waiter) for waiter in waiters]
        assert [join for join, _ in joined] == [Join.LEAD] + [Join.WAIT] * (len(waiters) - 1)
        return joined[0][1]


@pytest.fixture
def crowd(store: Store) -> Crowd:
    return Crowd(store)


def test_one_leads_and_the_others_wait(crowd: Crowd) -> None:
    flight = crowd.full("abc")
    assert list(flight.waiters) == ["a", "b", "c"]
    assert len(crowd.flights) == 1


def test_other_keys_have_flights_of_their_own(crowd: Crowd) -> None:
    crowd.join("a")
    assert crowd.join("b", b"o" * 32)[0] is Join.LEAD


def test_a_storable_head_lets_all_read_along(crowd: Crowd) -> None:
    flight = crowd.full("abc")
    assert crowd.flights.head(flight, storable=True) == [(w, Wake.READ_ALONG) for w in "abc"]
    assert list(crowd.flights.content(flight, b"one")) == ["a", "b", "c"]


def test_who_comes_later_reads_from_the_beginning(crowd: Crowd) -> None:
    flight = crowd.full("a")
    crowd.flights.head(flight, storable=True)
    crowd.flights.content(flight, b"one")
    join, same = crowd.join("b")
    assert (join, same) == (Join.READ_ALONG, flight)
    assert (flight.content, flight.octets) == ([b"one"], 3)
    assert list(crowd.flights.content(flight, b"two")) == ["a", "b"]


def test_an_uncacheable_head_wakes_all_at_once_and_the_next_one_leads(crowd: Crowd) -> None:
    flight = crowd.full("abc")
    assert crowd.flights.head(flight, storable=False) == [(w, Wake.UNCACHEABLE) for w in "abc"]
    assert flight.phase is Phase.OVER
    assert not flight.is_wanted
    assert crowd.join("d")[0] is Join.LEAD


def test_a_head_of_unknown_length_keeps_them_waiting_for_the_end(crowd: Crowd) -> None:
    flight = crowd.full("ab")
    assert crowd.flights.head(flight, storable=True, length_known=False) == []
    assert crowd.join("c")[0] is Join.WAIT
    assert crowd.flights.finish(flight, Wake.STORED) == [(w, Wake.STORED) for w in "abc"]
    assert len(crowd.flights) == 0


def test_one_that_proves_too_large_lets_them_go(crowd: Crowd) -> None:
    flight = crowd.full("ab")
    crowd.flights.head(flight, storable=True, length_known=False)
    assert crowd.flights.finish(flight, Wake.UNCACHEABLE) == [(w, Wake.UNCACHEABLE) for w in "ab"]


def test_requests_of_another_variant_go_under_a_key_of_their_own(crowd: Crowd) -> None:
    flight = crowd.full("abC")
    woken = crowd.flights.head(flight, storable=True, names=(b"accept",), same_variant=str.islower)
    assert woken == [("C", Wake.OTHER_VARIANT), ("a", Wake.READ_ALONG), ("b", Wake.READ_ALONG)]
    assert crowd.join("D") == (Join.OTHER_VARIANT, flight)
    assert crowd.join("d") == (Join.READ_ALONG, flight)
    assert flight.names == (b"accept",)
    assert "D" not in flight.waiters


def test_a_failure_is_shared(crowd: Crowd) -> None:
    flight = crowd.full("abc")
    assert crowd.flights.finish(flight, Wake.FAILED) == [(w, Wake.FAILED) for w in "abc"]


def test_readers_are_not_woken_by_the_end(crowd: Crowd) -> None:
    flight = crowd.full("ab")
    crowd.flights.head(flight, storable=True)
    assert crowd.flights.finish(flight, Wake.STORED) == []
    assert list(flight.readers) == ["a", "b"]


def test_waiters_outlive_their_leaders_client(crowd: Crowd) -> None:
    flight = crowd.full("ab")
    assert crowd.flights.leave(flight, "a")
    assert crowd.join("c")[0] is Join.WAIT
    assert crowd.flights.head(flight, storable=True) == [("b", Wake.READ_ALONG), ("c", Wake.READ_ALONG)]


def test_a_flight_that_nobody_wants_is_told_and_closed(crowd: Crowd) -> None:
    flight = crowd.full("ab")
    crowd.flights.leave(flight, "a")
    assert not crowd.flights.leave(flight, "b")
    crowd.flights.abandon(flight)
    assert crowd.join("c")[0] is Join.LEAD


def test_a_waiter_whose_time_is_over_leaves_the_others_alone(crowd: Crowd) -> None:
    flight = crowd.full("abc")
    crowd.flights.leave(flight, "b")
    crowd.flights.leave(flight, "b")
    assert crowd.flights.finish(flight, Wake.STORED) == [("a", Wake.STORED), ("c", Wake.STORED)]


def test_who_comes_after_an_invalidation_does_not_join_an_older_fetch(crowd: Crowd) -> None:
    old = crowd.full("ab")
    crowd.store.invalidations.invalidate(SITE, [b"/"], ANYBODY)
    join, new = crowd.join("c")
    assert join is Join.LEAD
    assert new is not old
    assert crowd.join("d") == (Join.WAIT, new)
    assert crowd.flights.head(old, storable=True) == [("a", Wake.READ_ALONG), ("b", Wake.READ_ALONG)]
    crowd.flights.finish(old, Wake.STORED)
    assert crowd.join("e") == (Join.WAIT, new)


def test_who_comes_after_an_invalidation_does_not_read_along_either(crowd: Crowd) -> None:
    old = crowd.full("a")
    crowd.flights.head(old, storable=True)
    crowd.store.invalidations.invalidate(SITE, [b"/"], ANYBODY)
    assert crowd.join("b")[0] is Join.LEAD


def test_a_flight_that_waits_for_another_worker_begins_anew_after_an_invalidation(crowd: Crowd) -> None:
    flight = crowd.full("a")
    first = flight.stamp
    crowd.flights.restamp(flight, crowd.begin)
    assert flight.stamp is first
    crowd.store.invalidations.invalidate(SITE, [b"/"], ANYBODY)
    crowd.flights.restamp(flight, crowd.begin)
    assert flight.stamp is not first
    assert crowd.join("b") == (Join.WAIT, flight)
    crowd.flights.head(flight, storable=True)
    crowd.store.invalidations.invalidate(SITE, [b"/"], ANYBODY)
    begun = flight.stamp
    crowd.flights.restamp(flight, crowd.begin)
    assert flight.stamp is begun


def test_memory_no_flight_is_kept_after_its_end(crowd: Crowd) -> None:
    for number in range(100):
        _, flight = crowd.join("a", b"%032d" % number)
        crowd.flights.finish(flight, Wake.STORED)
    assert len(crowd.flights) == 0


def test_the_fill_budget_is_kept() -> None:
    budget = FillBudget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.give_back(6)
    assert budget.taken == 4
    assert budget.take(6)
