"""Every way in which a request that misses can end: one answer, nobody left behind, everything given back."""

import pytest

from proxy.cache_waits import BUSY_TRIES, POLL
from proxy.caching.claims import Claim
from proxy.caching.ring import Put
from proxy.caching.store import Store
from proxy.config.schema import Cache
from tests.fakes import cache
from tests.fakes.cache_peers import Client
from tests.fakes.cache_world import World, clients_of, outcomes

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources

COOKIE = b"session=a"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_all_who_wait_get_the_one_answer(world: World) -> None:
    clients = clients_of(world, 5)
    assert len(world.forwards) == 1
    world.forwards[0].respond(b"page")
    assert [c.answers[0][1] for c in clients] == [b"page"] * 5
    assert outcomes(clients) == ["MISS", *["COLLAPSED"] * 4]
    world.assert_at_rest()


@pytest.mark.parametrize("length", [8, -1])
def test_content_in_pieces_reaches_those_before_and_during(world: World, length: int) -> None:
    clients = clients_of(world, 2)
    forward = world.forwards[0]
    forward.respond(b"page", length=length, complete=False)
    clients += clients_of(world, 2)
    forward.send(b"more")
    forward.finish()
    assert [c.answers for c in clients[1:]] == [[(200, b"pagemore", "COLLAPSED")]] * 3
    world.assert_at_rest()


def test_a_fetch_goes_on_without_the_client_that_began_it_and_ends_with_the_last(world: World) -> None:
    clients = clients_of(world, 3)
    clients[0].leave()
    clients[1].leave()
    assert len(world.forwards) == 1
    clients[2].leave()
    world.assert_at_rest()


def test_a_fetch_for_which_nobody_waits_any_longer_ends(world: World) -> None:
    clients = clients_of(world, 2)
    clients[0].leave()
    world.pass_time(5)  # the other's patience
    assert len(world.forwards) == 1
    assert world.forwards[0].client is clients[1]
    world.forwards[0].respond(b"by itself")
    assert clients[1].answers == [(200, b"by itself", "MISS")]
    world.assert_at_rest()


def test_a_head_that_cannot_be_stored_ends_a_fetch_whose_leader_left(world: World) -> None:
    clients = clients_of(world, 3)
    clients[0].leave()
    world.forwards[0].respond(b"part", block=b"Set-Cookie: a=b\r\n", length=100, complete=False)
    assert [f.client for f in world.forwards] == clients[1:]
    for forward in list(world.forwards):
        forward.respond(b"by itself")
    world.assert_at_rest()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_slow_leader_holds_up_what_is_not_kept(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    world = World(monkeypatch, Cache(object_size=1000))
    client = Client(world)
    client.ask()
    forward = world.forwards[0]
    forward.respond(bytes(500), length=-1, complete=False)
    if when == "before":
        client.pause(is_paused=True)
        assert not forward.is_paused  # it is still being stored
    forward.send(bytes(1000))
    if when == "after":
        client.pause(is_paused=True)
    assert forward.is_paused
    client.pause(is_paused=False)
    assert not forward.is_paused
    forward.finish()
    assert [len(content) for _, content, _ in client.answers] == [1500]
    world.assert_at_rest()


def test_the_next_request_on_a_connection_does_not_join_the_fetch_that_just_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "put", lambda *_: Put.BUSY)
    clients_of(world, 1)
    reader = Client(world)
    reader.then = reader.ask
    reader.ask()
    forward = world.forwards[0]
    forward.respond(b"pa", length=4, complete=False)
    forward.send(b"ge")
    forward.finish()
    assert reader.answers == [(200, b"page", "COLLAPSED")]
    world.forwards[0].respond(b"new")
    assert reader.answers[1:] == [(200, b"new", "MISS")]
    world.assert_at_rest()


def test_those_who_asked_before_a_write_share_what_is_not_kept(world: World) -> None:
    before = clients_of(world, 3)
    world.write(COOKIE)
    after = clients_of(world, 2)
    assert len(world.forwards) == 2
    world.forwards[0].respond(b"old")
    assert [c.answers[0][1] for c in before] == [b"old"] * 3
    assert [c.answers for c in after] == [[], []]
    world.forwards[0].respond(b"new")
    assert [c.answers[0][1] for c in after] == [b"new"] * 2
    assert "invalidated" in world.reasons
    world.assert_at_rest()


def test_a_failure_is_everybodys(world: World) -> None:
    clients = clients_of(world, 3)
    world.forwards[0].fail()
    assert [c.failures for c in clients] == [["reset"]] * 3
    world.assert_at_rest()


def test_an_answer_cut_off_is_cut_off_for_its_readers(world: World) -> None:
    clients = clients_of(world, 3)
    world.forwards[0].respond(b"pa", length=4, complete=False)
    clients[1].leave()
    world.forwards[0].fail()
    assert [c.failures for c in clients] == [["aborted"], [], ["aborted"]]
    assert "truncated" in world.reasons
    world.assert_at_rest()


def test_those_who_wait_for_the_end_of_an_answer_that_is_cut_off_ask_themselves(world: World) -> None:
    clients = clients_of(world, 2)
    world.forwards[0].respond(b"pa", length=-1, complete=False)
    world.forwards[0].fail()
    assert clients[0].failures == ["aborted"]
    world.forwards[0].respond(b"page")
    assert clients[1].answers == [(200, b"page", "MISS")]
    world.assert_at_rest()


def test_one_client_with_a_fault_does_not_take_the_answer_from_others(world: World) -> None:
    clients = clients_of(world, 4)
    clients[1].is_broken = True
    world.forwards[0].respond(b"page")
    assert clients[1].failures == ["aborted"]
    assert outcomes(clients) == ["MISS", "COLLAPSED", "COLLAPSED"]
    assert world.errors == 1
    world.errors = 0
    world.assert_at_rest()


def test_a_budget_that_is_used_up_lets_everybody_ask(world: World) -> None:
    world.gate.waits.budget.take(32 * 1024 * 1024)
    clients = clients_of(world, 3)
    world.forwards[0].respond(b"pa", length=4, complete=False)
    assert len(world.forwards) == 3
    world.forwards[0].send(b"ge")
    world.forwards[0].finish()
    for forward in list(world.forwards):
        forward.respond(b"page")
    assert [c.answers[0][1] for c in clients] == [b"page"] * 3
    assert "busy" in world.reasons
    world.gate.waits.budget.give_back(32 * 1024 * 1024)
    world.assert_at_rest()


def test_what_comes_whole_is_kept_whatever_the_budget_is(world: World) -> None:
    world.gate.waits.budget.take(32 * 1024 * 1024)
    clients = clients_of(world, 3)
    world.forwards[0].respond(b"page")
    assert outcomes(clients) == ["MISS", "COLLAPSED", "COLLAPSED"]
    assert outcomes(clients_of(world, 1)) == ["HIT"]
    world.gate.waits.budget.give_back(32 * 1024 * 1024)
    world.assert_at_rest()


# --- other workers


def test_a_claim_that_is_busy_again_and_again_is_done_without(world: World) -> None:
    world.claims.is_busy = True
    clients = clients_of(world, 2)
    assert world.forwards == []
    world.pass_time(POLL * BUSY_TRIES)
    assert len(world.forwards) == 1
    world.forwards[0].respond(b"page")
    assert outcomes(clients) == ["MISS", "COLLAPSED"]
    world.assert_at_rest()


@pytest.mark.parametrize("outcome", ["COLLAPSED", "MISS"])
def test_a_fetch_that_ended_elsewhere_between_lookup_and_claim_is_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    claim = world.claims.claim

    def late(key: bytes, fingerprint: int, *, now: int, deadline: int) -> Claim:
        if outcome == "COLLAPSED":
            cache.fill(world.store, b"page", now=now)
        else:
            world.store.marks.set_uncacheable(key, now, 10.0)
        return claim(key, fingerprint, now=now, deadline=deadline)

    monkeypatch.setattr(world.claims, "claim", late)
    clients = clients_of(world, 3)
    if outcome == "COLLAPSED":
        assert world.forwards == []
        assert [c.answers[0][1] for c in clients] == [b"page"] * 3
    else:
        assert [f.client for f in world.forwards] == clients
        for forward in list(world.forwards):
            forward.respond(b"mine")
    world.assert_at_rest()


def test_a_wait_for_another_worker_ends_with_its_claim_its_answer_or_the_patience(world: World) -> None:
    key = world.fill_key()
    world.claims.elsewhere.add(key)
    clients = clients_of(world, 3)
    clients[0].leave()
    world.pass_time(1)
    assert world.forwards == []
    world.claims.elsewhere.clear()  # it died
    world.pass_time(POLL)
    assert len(world.forwards) == 1
    world.forwards[0].respond(b"page")
    assert sorted(outcomes(clients)) == ["COLLAPSED", "MISS"]
    world.pass_time(10)
    world.claims.elsewhere.add(key)
    clients = clients_of(world, 2)
    world.pass_time(5)
    # The answer of before is stale by now, and better than two requests more.
    assert outcomes(clients) == ["STALE"] * 2
    world.assert_at_rest()
