"""A connection to an app, event by event: what its handler is told, and when it goes back to the pool."""

from typing import cast

import pytest

from proxy.config.schema import Timeouts
from proxy.deadlines import NEVER, DeadlineWheel
from proxy.errors import GatewayError
from proxy.semantics.fields import FieldLine
from proxy.upstream.connection import LAST_WORDS_SECONDS, UpstreamConnection
from proxy.upstream.heads import ResponseHead, ResponseMemo
from proxy.upstream.pool import Pool
from proxy.upstream.reading import MAX_INTERIM
from tests.fakes.hand_clock import HandClock
from tests.fakes.transport import RecordingTransport

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources

TIMEOUTS = Timeouts(first_byte=60.0, read=20.0, keepalive_upstream=4.0)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class FakePool:
    """What a connection asks of its pool."""

    label = "192.0.2.1:80"

    def __init__(self, clock: HandClock) -> None:
        self.loop = clock.loop
        self.wheel = DeadlineWheel(clock.loop)
        self.response_memo = ResponseMemo()
        self.kept: list[UpstreamConnection] = []
        self.lost_ones: list[UpstreamConnection] = []

    def lost(self, connection: UpstreamConnection) -> None:
        self.lost_ones.append(connection)

    def give_back(self, connection: UpstreamConnection) -> None:
        self.kept.append(connection)
        connection.wait_idle(self.loop.time())


class Handler:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def interim_response(self, head: ResponseHead) -> None:
        self.told.append(f"interim {head.status}")

    def response_head(self, head: ResponseHead, content: bytes, complete: bool) -> None:
        self.told.append(f"head {head.status} {head.framing().value} {content!r} {complete}")

    def response_content(self, content: bytes) -> None:
        self.told.append(f"content {content!r}")

    def response_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        self.told.append(f"complete {[name for name, _, _ in trailers]}")

    def switched(self, head: ResponseHead, octets: bytes) -> None:
        self.told.append(f"switched {octets!r}")

    def tunnel_octets(self, octets: bytes) -> None:
        self.told.append(f"octets {octets!r}")

    def tunnel_ended(self) -> None:
        self.told.append("ended")

    def tunnel_closed(self) -> None:
        self.told.append("closed")

    def response_failed(self, error: GatewayError) -> None:
        self.told.append(f"failed {error.kind}")

    def upstream_paused(self) -> None:
        self.told.append("paused")

    def upstream_resumed(self) -> None:
        self.told.append("resumed")


class Bench:
    """A connection between a recording transport and a handler that writes down."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.clock = HandClock()
        self.pool = FakePool(self.clock)
        self.transport = RecordingTransport(half_closes=half_closes)
        self.connection = UpstreamConnection(cast("Pool", self.pool))
        self.connection.connection_made(self.transport)
        self.handler = Handler()

    def begin(self, method: bytes = b"GET", *, complete: bool = True, upgrade: bool = False) -> None:
        now = self.pool.loop.time()
        self.connection.begin(self.handler, REQUEST, TIMEOUTS, now, method == b"HEAD", complete, upgrade)

    def gets(self, octets: bytes) -> list[str]:
        """Return what the handler is told about these octets."""
        self.handler.told.clear()
        self.connection.data_received(octets)
        return self.handler.told

    @property
    def is_kept(self) -> bool:
        return self.pool.kept == [self.connection] and self.transport.calls == []


def test_a_whole_response_in_one_packet_goes_back_to_the_pool_before_it_is_told() -> None:
    bench = Bench()
    bench.begin()
    assert bench.transport.taken() == REQUEST
    assert bench.gets(OK) == ["head 200 length b'ok' True"]
    assert bench.is_kept


class Full(Handler):
    """Takes no more with the first octets that it gets."""

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__()
        self.connection = connection

    def interim_response(self, head: ResponseHead) -> None:
        self.connection.pause()

    def response_content(self, content: bytes) -> None:
        self.connection.pause()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,),
    ],
)
def test_a_client_that_takes_the_last_octets_slowly_does_not_hold_the_next_up(
    pieces: tuple[bytes, ...],
) -> None:
    bench = Bench()
    bench.handler = Full(bench.connection)
    bench.begin()
    for piece in pieces:
        bench.connection.data_received(piece)
    assert bench.is_kept
    assert bench.transport.is_reading_now


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "head 200 length b'he' False"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "head 200 length b'' False"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "head 200 chunked b'ok' True",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "head 200 chunked b'' True"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "head 204 none b'' True"),
        (b"HTTP/1.1 200 OK\r\n\r\nall", "head 200 close b'all' False"),
    ],
)
def test_heads(octets: bytes, told: str) -> None:
    bench = Bench()
    bench.begin()
    assert bench.gets(octets) == [told]
    assert bench.is_kept is told.endswith("True")


def test_trailers_come_with_the_end() -> None:
    bench = Bench()
    bench.begin()
    octets = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\n\r\n"
    assert bench.gets(octets) == ["head 200 chunked b'ok' False", "complete [b'x-a']"]
    assert bench.is_kept


@pytest.mark.parametrize(
    "octets",
    [
        OK + b"surplus",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\nsurplus",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsurplus",
    ],
)
def test_a_doubt_is_enough_to_close(octets: bytes) -> None:
    bench = Bench()
    bench.begin()
    assert bench.gets(octets)[0].startswith("head")
    assert (bench.pool.kept, bench.transport.calls) == ([], ["abort"])


def test_a_request_that_is_not_complete_is_a_doubt() -> None:
    bench = Bench()
    bench.begin(complete=False)
    bench.gets(OK)
    assert (bench.pool.kept, bench.transport.calls) == ([], ["abort"])


def test_a_request_that_the_app_has_not_taken_is_a_doubt() -> None:
    bench = Bench()
    bench.begin(complete=False)
    bench.connection.send(b"x" * 1_000_000)
    bench.connection.pause_writing()
    bench.connection.request_sent()
    bench.gets(OK)
    assert (bench.pool.kept, bench.transport.calls) == ([], ["abort"])


def test_octets_that_nobody_asked_for_close() -> None:
    bench = Bench()
    bench.begin()
    bench.gets(OK)
    assert bench.gets(b"HTTP/1.1 200 OK\r\n") == []
    assert bench.transport.calls == ["abort"]


@pytest.mark.parametrize(
    ("octets", "exc", "told"),
    [
        (b"", None, "failed reset"),
        (b"HTTP/1.1 200", None, "failed reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", None, "failed reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok", None, "failed reset"),
        (b"HTTP/1.1 200 OK\r\n\r\nall", None, "complete []"),
        (b"HTTP/1.1 200 OK\r\n\r\nall", ConnectionResetError(), "failed reset"),
    ],
)
def test_what_the_end_of_a_connection_means(octets: bytes, exc: Exception | None, told: str) -> None:
    bench = Bench()
    bench.begin()
    bench.gets(octets)
    bench.handler.told.clear()
    bench.connection.connection_lost(exc)
    assert bench.handler.told == [told]
    assert (bench.pool.lost_ones, bench.pool.wheel._filed) == ([bench.connection], {})


def test_too_many_interim_responses_fail() -> None:
    bench = Bench()
    bench.begin()
    told = bench.gets(b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_INTERIM + 1))
    assert told == ["interim 103"] * MAX_INTERIM + ["failed invalid"]


def test_a_handler_that_leaves_in_the_middle_of_heads_hears_no_more() -> None:
    bench = Bench()
    bench.begin()

    class Leaving(Handler):
        def interim_response(self, head: ResponseHead) -> None:
            super().interim_response(head)
            bench.connection.cancel()

    bench.handler = Leaving()
    bench.begin()
    assert bench.gets(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK) == ["interim 103"]
    assert bench.transport.calls == ["abort"]


@pytest.mark.parametrize(
    ("octets", "seconds", "told"),
    [
        (b"", 60.0, "failed first-byte-timeout"),
        (b"HTTP/1.1 2", 60.0, "failed first-byte-timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", 20.0, "failed read-timeout"),
    ],
)
def test_deadlines(octets: bytes, seconds: float, told: str) -> None:
    bench = Bench()
    bench.begin()
    bench.gets(octets)
    bench.handler.told.clear()
    bench.clock.advance(seconds - 0.5)
    assert bench.handler.told == []
    bench.clock.advance(1.0)
    assert bench.handler.told == [told]
    assert bench.transport.calls == ["abort"]


def test_an_idle_connection_is_closed_in_time_and_its_file_is_not_moved_by_each_request() -> None:
    bench = Bench()
    for _ in range(100):
        bench.begin()
        bench.gets(OK)
        bench.clock.advance(3.0)
        assert bench.connection.is_usable()
    bench.clock.advance(1.5)
    assert bench.transport.calls == ["abort"]


def test_a_pause_in_the_middle_of_waiting_for_a_head_does_not_lift_the_deadline_for_ever() -> None:
    bench = Bench()
    bench.begin()
    bench.connection.pause()
    assert not bench.transport.is_reading_now
    bench.clock.advance(1000.0)
    assert bench.handler.told == []
    bench.connection.resume()
    assert bench.transport.is_reading_now
    bench.clock.advance(61.0)
    assert bench.handler.told == ["failed first-byte-timeout"]


def test_an_event_stream_has_no_read_deadline() -> None:
    bench = Bench()
    bench.begin()
    bench.gets(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert bench.connection.deadline == NEVER
    bench.gets(b"1\r\nx\r\n")
    bench.connection.pause()
    bench.connection.resume()
    assert bench.connection.deadline == NEVER
    bench.clock.advance(10_000.0)
    assert bench.transport.calls == []


class TestTunnel:
    def tunnel(self, *, half_closes: bool = True) -> Bench:
        """Return a bench whose app has switched protocols."""
        bench = Bench(half_closes=half_closes)
        bench.begin(upgrade=True)
        assert bench.gets(SWITCH + b"early") == ["switched b'early'"]
        return bench

    def test_octets_pass(self) -> None:
        bench = self.tunnel()
        assert bench.gets(b"HTTP/1.1 200 OK\r\n\r\n") == ["octets b'HTTP/1.1 200 OK\\r\\n\\r\\n'"]

    def test_nobody_asked_for_a_switch(self) -> None:
        bench = Bench()
        bench.begin()
        assert bench.gets(SWITCH) == ["failed invalid"]

    def test_the_clients_end_is_passed_on_where_the_transport_can(self) -> None:
        bench = self.tunnel()
        assert bench.connection.end_tunnel()
        assert bench.transport.calls == ["write_eof"]
        assert not self.tunnel(half_closes=False).connection.end_tunnel()

    def test_the_apps_end_keeps_the_other_direction(self) -> None:
        bench = self.tunnel()
        assert bench.connection.eof_received() is True
        assert bench.handler.told[-1] == "ended"

    def test_last_words_have_their_time_and_no_more(self) -> None:
        bench = self.tunnel()
        bench.connection.finish_tunnel()
        assert bench.transport.calls == ["close"]
        bench.clock.advance(LAST_WORDS_SECONDS - 1.0)
        assert bench.transport.calls == ["close"]
        bench.clock.advance(2.0)
        assert bench.transport.calls == ["close", "abort"]
        bench.connection.connection_lost(None)
        assert bench.handler.told[-1] != "closed"
        assert bench.pool.wheel._filed == {}

    def test_a_lost_connection_is_told(self) -> None:
        bench = self.tunnel()
        bench.connection.connection_lost(ConnectionResetError())
        assert bench.handler.told[-1] == "closed"
