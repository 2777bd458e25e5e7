"""The playbook keeps its word: pieces arrive one by one, and what is left behind is found."""

import pytest

from proxy.downstream.connection import ClientConnection
from proxy.upstream.connection import UpstreamConnection
from tests.fakes.gateway import alive
from tests.fakes.peer import OCTETS, WHOLE
from tests.fakes.playbook import Play


async def test_pieces_arrive_one_by_one(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[tuple[type, int]] = []
    for kind in (ClientConnection, UpstreamConnection):
        received = kind.data_received

        def note(self: object, data: bytes, kind: type = kind, received: object = received) -> None:
            arrived.append((kind, len(data)))
            received(self, data)  # type: ignore[operator]  # the method that is replaced

        monkeypatch.setattr(kind, "data_received", note)
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 5", content=b"hello")
    await client.response()
    sizes = {
        kind: [size for of, size in arrived if of is kind] for kind in (ClientConnection, UpstreamConnection)
    }
    for kind, octets in ((ClientConnection, 32), (UpstreamConnection, 43)):
        assert sum(sizes[kind]) == octets
        if play.cut == OCTETS:
            assert set(sizes[kind]) == {1}
        elif play.cut == WHOLE:
            assert sizes[kind] == [octets]


async def test_what_is_left_behind_is_found(whole: Play) -> None:
    client = await whole.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await whole.app.accept()
    await app.request()
    assert alive() == {"ClientConnection": 1, "Exchange": 1, "Forward": 1, "UpstreamConnection": 1}
    assert whole.gateway.in_flight == 1
    assert whole.gateway.open == {"clients": 1, "apps": 1}
    whole.gateway.faults.append("a fault")
    client.reset()
    assert await whole.leftovers() == ["unhandled: a fault"]
    whole.gateway.faults.clear()
