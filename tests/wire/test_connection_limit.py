"""At the limit of connections: who is served, who is told so, who is closed, and that the CA still gets its answer."""

from collections.abc import Iterator

import pytest

from proxy.downstream.admission import RESERVE, ConnectionBounds
from proxy.traffic.connection_limits import ConnectionRows, SharedConnectionCounter
from proxy.traffic.limiter import scope_key
from tests.fakes.peer import Peer
from tests.fakes.playbook import Play

TOKEN = b"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
HALF = b"GET / HTTP/1.1\r\nHost: a.test\r\n"
UNLIMITED = 'redirect = "https://new.test"\n'


@pytest.fixture
def bounds() -> Iterator[ConnectionBounds]:
    """Bound a worker to two connections."""
    rows = ConnectionRows.create()
    counter = SharedConnectionCounter(rows.memory, rows.claim())
    yield ConnectionBounds(counter, scope_key(bytes(32), "connections"), in_worker=2)
    counter.close()


async def busy(play: Play, count: int) -> list[Peer]:
    """Open connections that are not idle: each has sent half of a request."""
    peers = []
    for _ in range(count):
        peers.append(await play.client())
        await peers[-1].send_octets(HALF)
    return peers


async def test_the_ca_is_answered_when_all_places_are_taken(bounds: ConnectionBounds, play: Play) -> None:
    gateway = await play.start(site=UNLIMITED)
    gateway.plane._downstream.bounds = bounds
    gateway.plane._pipeline.thumbprints[b"a.test"] = b"thumb"
    first, _second = await busy(play, 2)
    refused = await play.client()
    await refused.send_octets(HALF + b"\r\n")
    response = await refused.response()
    assert (response.status, response.one("Connection")) == (503, "close")
    assert response.one("Proxy-Status") == "foregate; error=connection_limit_reached"
    await refused.end()
    ca = await play.client()
    await ca.send_octets(b"GET /.well-known/acme-challenge/%s HTTP/1.1\r\nHost: a.test\r\n\r\n" % TOKEN)
    response = await ca.response()
    assert (response.status, response.content) == (200, TOKEN + b".thumb")
    assert response.one("Connection") == "close"  # its place is kept for the next one
    await ca.end()
    await first.send_octets(b"\r\n")
    assert (await first.response()).status == 308


async def test_an_idle_connection_gives_way_before_anybody_is_refused(
    bounds: ConnectionBounds, play: Play
) -> None:
    gateway = await play.start(site=UNLIMITED)
    gateway.plane._downstream.bounds = bounds
    idle, other = await busy(play, 2)
    await idle.send_octets(b"\r\n")
    assert (await idle.response()).status == 308
    newcomer = await play.client()
    await newcomer.send_octets(HALF + b"\r\n")
    assert (await newcomer.response()).status == 308
    await idle.end()
    await other.send_octets(b"\r\n")
    assert (await other.response()).status == 308


async def test_the_places_kept_free_are_few(bounds: ConnectionBounds, whole: Play) -> None:
    gateway = await whole.start(site=UNLIMITED)
    gateway.plane._downstream.bounds = bounds
    await busy(whole, 2 + RESERVE)
    assert bounds.here == 2 + RESERVE
    beyond = await whole.client()
    await beyond.offer(HALF)
    assert await beyond.cut_off() == b""
    assert bounds.here == 2 + RESERVE
