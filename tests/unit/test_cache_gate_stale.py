"""Requests that miss while the app fails, while something stale stands in, and among variants."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from proxy.cache_waiter import Waiter
from proxy.caching.collapse import Flight, Flights, Join
from proxy.caching.record import Stamp
from tests.fakes.cache_peers import Client
from tests.fakes.cache_world import World, clients_of, outcomes, stored

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources

COOKIE = b"session=a"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_stale_answers_stand_in_and_one_at_a_time_asks(world: World) -> None:
    stored(world)
    failing = clients_of(world, 2)
    world.forwards[0].fail()
    assert [c.answers for c in failing] == [[(200, b"old", "STALE")]] * 2
    assert world.logged == 1
    assert outcomes(clients_of(world, 3)) == ["STALE"] * 3
    world.pass_time(1.1)
    probe = clients_of(world, 3)
    assert outcomes(probe) == ["STALE"] * 2
    assert len(world.forwards) == 1
    world.forwards[0].respond(b"new")
    assert probe[0].answers == [(200, b"new", "MISS")]
    world.assert_at_rest()


@pytest.mark.parametrize("end", ["503", "304", "left"])
def test_a_probe_never_leaves_the_app_marked_as_failing(world: World, end: str) -> None:
    stored(world, block=b'ETag: "v"\r\n')
    clients_of(world, 1)
    world.forwards[0].fail()
    world.pass_time(1.1)
    [probe] = clients_of(world, 1)
    if end == "503":
        world.forwards[0].respond(b"bad", status=503)
        assert outcomes([probe]) == ["STALE"]
    elif end == "304":
        world.forwards[0].respond(status=304, block=b'ETag: "v"\r\n')
        assert outcomes([probe]) == ["REVALIDATED"]
    else:
        probe.leave()
    world.pass_time(4)
    clients = clients_of(world, 1)
    assert len(world.forwards) == 1, "the app is asked"
    world.forwards[0].respond(b"new")
    assert clients[0].answers == [(200, b"new", "MISS")]
    world.assert_at_rest()


def test_a_head_request_is_no_probe(world: World) -> None:
    stored(world)
    clients_of(world, 1)
    world.forwards[0].fail()
    world.pass_time(1.1)
    client = Client(world)
    client.ask(method=b"HEAD")
    world.forwards[0].respond()
    clients_of(world, 1)
    assert len(world.forwards) == 1
    world.forwards[0].respond(b"new")
    world.assert_at_rest()


def test_who_waits_too_long_gets_what_is_stale(world: World) -> None:
    stored(world)
    clients = clients_of(world, 2)
    world.pass_time(5)
    assert outcomes(clients) == ["STALE"]
    world.forwards[0].respond(b"new")
    assert clients[0].answers == [(200, b"new", "MISS")]
    world.assert_at_rest()


def test_no_stale_answer_after_a_write(world: World) -> None:
    stored(world)
    clients = clients_of(world, 2)
    world.write(COOKIE)
    world.forwards[0].fail()
    assert [c.failures for c in clients] == [["reset"]] * 2
    world.assert_at_rest()


def test_a_confirmed_answer_goes_to_all_who_wait(world: World) -> None:
    stored(world, block=b'ETag: "v"\r\n')
    clients = clients_of(world, 3)
    assert world.forwards[0].exchange.extra_lines.lower() == b'if-none-match: "v"\r\n'
    world.forwards[0].respond(status=304, block=b'ETag: "v"\r\n')
    assert outcomes(clients) == ["REVALIDATED", "COLLAPSED", "COLLAPSED"]
    world.assert_at_rest()


def test_rfc9110_6_6_1_a_304_without_date_confirms_from_its_arrival_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = SimpleNamespace(time=lambda: 1_000_000_000.0 + world.loop.now)
    monkeypatch.setattr("proxy.cache_kept.time", wall)
    stored(world, block=b'ETag: "v"\r\nCache-Control: max-age=2\r\n')
    [client] = clients_of(world, 1)
    world.forwards[0].respond(status=304, block=b'ETag: "v"\r\n')
    assert outcomes([client]) == ["REVALIDATED"]
    assert outcomes(clients_of(world, 1)) == ["HIT"]
    world.assert_at_rest()


def test_a_304_that_confirms_something_else_is_asked_again_by_everybody(world: World) -> None:
    stored(world, block=b'ETag: "v"\r\n')
    clients = clients_of(world, 2)
    world.forwards[0].respond(status=304, block=b'ETag: "w"\r\n')
    assert len(world.forwards) == 2
    for forward in list(world.forwards):
        forward.respond(b"new")
    assert [c.answers[0][1] for c in clients] == [b"new"] * 2
    world.assert_at_rest()


# --- stale-while-revalidate

SWR = b"Cache-Control: max-age=1, stale-while-revalidate=60\r\n"


def test_a_refresh_in_the_background_happens_once(world: World) -> None:
    stored(world, block=SWR)
    assert outcomes(clients_of(world, 3)) == ["STALE"] * 3
    assert len(world.forwards) == 1
    world.forwards[0].respond(b"new", block=SWR)
    assert outcomes(clients_of(world, 1)) == ["HIT"]
    world.assert_at_rest()


@pytest.mark.parametrize("end", ["fail", "503"])
def test_a_refresh_that_fails_is_not_tried_again_at_once(world: World, end: str) -> None:
    stored(world, block=SWR)
    clients_of(world, 1)
    if end == "fail":
        world.forwards[0].fail()
    else:
        world.forwards[0].respond(b"bad", status=503)
    assert outcomes(clients_of(world, 2)) == ["STALE"] * 2
    world.assert_at_rest()
    world.pass_time(1.1)
    clients_of(world, 1)
    world.forwards[0].respond(b"new", block=SWR)
    world.assert_at_rest()


def test_a_refresh_that_brings_something_private_ends_the_stale_answers(world: World) -> None:
    stored(world, block=SWR)
    clients_of(world, 1)
    world.forwards[0].respond(b"part", block=b"Cache-Control: no-store\r\n", length=10**9, complete=False)
    world.assert_at_rest()
    client = clients_of(world, 1)[0]
    world.forwards[0].respond(b"mine", block=b"Cache-Control: no-store\r\n")
    assert client.answers == [(200, b"mine", "MISS")]


# --- variants


def test_each_language_is_fetched_once(world: World) -> None:
    clients = [Client(world) for _ in range(6)]
    for number, client in enumerate(clients):
        client.ask(language=(b"de", b"en", b"fr")[number % 3])
    assert len(world.forwards) == 1
    while world.forwards:
        forward = world.forwards[0]
        forward.respond(b"in " + forward.language, block=b"Vary: accept-language\r\n")
    assert [c.answers[0][1] for c in clients] == [b"in de", b"in en", b"in fr"] * 2
    world.assert_at_rest()


class OthersAlone(Flights[Waiter]):
    """Has a flight for each key, and always one for somebody else's variant."""

    def join(self, key: bytes, waiter: Waiter, begin: Callable[[], Stamp]) -> tuple[Join, Flight[Waiter]]:
        flight: Flight[Waiter] = Flight(key, begin())
        flight.names = (b"accept-language",)
        return Join.OTHER_VARIANT, flight


def test_an_app_that_varies_its_vary_sends_nobody_in_circles(world: World) -> None:
    world.gate.waits.flights = OthersAlone(lambda stamp: True)
    [client] = clients_of(world, 1)
    assert world.forwards[0].client is client
