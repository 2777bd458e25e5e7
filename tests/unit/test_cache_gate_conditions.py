"""Clients that have an answer already, on a miss: told so in 304, while the whole answer is stored."""

import pytest

from tests.fakes.cache_peers import Client
from tests.fakes.cache_world import World

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources

MATCHING = b'If-None-Match: "v"\r\n'
TAGGED = b'ETag: "v"\r\nContent-Type: text/html\r\n'


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def asking(world: World, *fields: bytes) -> list[Client]:
    """Let clients ask for the same page, each with further fields."""
    clients = [Client(world) for _ in fields]
    for client, section in zip(clients, fields, strict=True):
        client.ask(fields=section)
    return clients


def hit(world: World) -> tuple[int, bytes, str]:
    client = Client(world)
    client.ask()
    return client.answers[0]


def test_a_whole_answer_goes_to_those_who_lack_it(world: World) -> None:
    clients = asking(world, MATCHING, b"", MATCHING, b'If-None-Match: "w"\r\n')
    world.forwards[0].respond(b"page", block=TAGGED)
    assert [c.answers for c in clients] == [
        [(304, b"", "MISS")],
        [(200, b"page", "COLLAPSED")],
        [(304, b"", "COLLAPSED")],
        [(200, b"page", "COLLAPSED")],
    ]
    assert hit(world) == (200, b"page", "HIT")
    world.assert_at_rest()


@pytest.mark.parametrize("length", [8, -1])
def test_an_answer_in_pieces_is_stored_though_nobody_reads_it(world: World, length: int) -> None:
    clients = asking(world, MATCHING, MATCHING)
    forward = world.forwards[0]
    forward.respond(b"page", block=TAGGED, length=length, complete=False)
    assert clients[0].answers == [(304, b"", "MISS")]
    clients[0].leave()
    forward.send(b"more")
    forward.finish()
    assert clients[1].answers == [(304, b"", "COLLAPSED")]
    assert hit(world) == (200, b"pagemore", "HIT")
    world.assert_at_rest()


def test_who_had_its_304_may_ask_for_more_at_once(world: World) -> None:
    client = Client(world)
    client.then = lambda: client.ask(b"/other")
    client.ask(fields=MATCHING)
    forward = world.forwards[0]
    forward.respond(b"page", block=TAGGED, length=8, complete=False)
    assert client.answers == [(304, b"", "MISS")]
    forward.send(b"more")
    forward.finish()
    assert len(client.answers) == 1
    world.forwards[0].respond(b"other")
    assert client.answers[1:] == [(200, b"other", "MISS")]
    assert hit(world) == (200, b"pagemore", "HIT")
    world.assert_at_rest()


def test_a_fetch_for_which_only_304_was_wanted_ends_when_it_cannot_be_stored(world: World) -> None:
    (client,) = asking(world, MATCHING)
    forward = world.forwards[0]
    forward.respond(b"", block=TAGGED, length=-1, complete=False)
    assert client.answers == [(304, b"", "MISS")]
    forward.send(bytes(2 << 20))
    world.assert_at_rest()


def test_what_is_not_stored_is_passed_on_as_it_is(world: World) -> None:
    (client,) = asking(world, MATCHING)
    world.forwards[0].respond(b"page", block=TAGGED + b"Set-Cookie: a=b\r\n")
    assert client.answers == [(200, b"page", "MISS")]
    world.assert_at_rest()
