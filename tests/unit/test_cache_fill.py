"""A fetch that is over leaves nothing for the garbage collector, however it ended."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.cache_peers import Client, Forward
from tests.fakes.cache_world import World, clients_of, stored

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def in_pieces(forward: Forward, _: list[Client]) -> None:
    forward.respond(b"page", complete=False)
    forward.send(b"more")
    forward.finish()


def given_up(forward: Forward, clients: list[Client]) -> None:
    forward.respond(b"page", length=100, complete=False)
    for client in clients:
        client.leave()


ENDINGS: tuple[Callable[[Forward, list[Client]], None], ...] = (
    lambda forward, _: forward.respond(b"page"),
    lambda forward, _: forward.respond(b"page", block=b"Set-Cookie: a=b\r\n"),
    lambda forward, _: forward.respond(b"", status=503),
    lambda forward, _: forward.fail(),
    in_pieces,
    given_up,
)


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("is_stale", [False, True])
def test_a_fetch_that_is_over_is_gone_at_once(
    world: World, end: Callable[[Forward, list[Client]], None], is_stale: bool
) -> None:
    if is_stale:
        stored(world)
    clients = clients_of(world, 2)
    (fill,) = map(weakref.ref, world.gate.waits.fills.values())
    (forward,) = world.forwards
    end(forward, clients)
    del forward
    world.forwards.clear()
    assert fill() is None
