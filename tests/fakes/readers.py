"""HTTP/1.1 as other implementations read it: each takes a stream apart into messages, or says what it refuses.

h11, llhttp (httptools), gunicorn for requests; h11, llhttp and http.client for responses. What they have in common
is `Seen`: enough to notice when two of them find the end of a message in different places.
"""

import http.client
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import h11
import httptools
from gunicorn.config import Config  # type: ignore[import-untyped]  # has no types
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]  # has no types
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]  # has no types

_WINDOW: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Seen:
    """One message: method and target, or status, and the content without its coding."""

    start: tuple[bytes, ...]
    content: bytes


class RefusedError(Exception):
    """The reader does not take what follows the messages in ``seen`` for HTTP."""

    def __init__(self, wording: str, seen: list[Seen]) -> None:
        super().__init__(wording)
        self.seen = seen


RequestReader = Callable[[bytes], list[Seen]]
ResponseReader = Callable[[bytes, list[bytes]], list[Seen]]


def requests_by_h11(stream: bytes) -> list[Seen]:
    """Read requests with h11."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_WINDOW)
    if stream:  # nothing would be the end
        connection.receive_data(stream)
    seen: list[Seen] = []
    start, content = (b"", b""), b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                start, content = (bytes(event.method), bytes(event.target)), b""
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                seen.append(Seen(start, content))
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return seen
                connection.start_next_cycle()
            else:
                return seen
    except h11.RemoteProtocolError as error:
        raise RefusedError(f"h11: {error}", seen) from error


@dataclass
class _Collected:
    """Callbacks of httptools."""

    method: Callable[[], bytes] = bytes
    target: bytes = b""
    content: bytes = b""
    seen: list[Seen] = field(default_factory=list)

    def on_message_begin(self) -> None:
        self.target = self.content = b""

    def on_url(self, octets: bytes) -> None:
        self.target += octets

    def on_body(self, octets: bytes) -> None:
        self.content += octets

    def on_message_complete(self) -> None:
        self.seen.append(Seen((self.method(), self.target), self.content))

    def final(self) -> list[Seen]:
        """Return responses without the interim ones."""
        return [Seen(one.start[:1], one.content) for one in self.seen if int(one.start[0]) >= 200]


def requests_by_llhttp(stream: bytes) -> list[Seen]:
    """Read requests with llhttp; one that asks for another protocol does not get it."""
    collected = _Collected()
    while stream:
        parser = httptools.HttpRequestParser(collected)
        collected.method = parser.get_method
        try:
            parser.feed_data(stream)
        except httptools.HttpParserUpgrade as upgrade:
            stream = stream[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raise RefusedError(f"llhttp: {error}", collected.seen) from error
        else:
            break
    return collected.seen


def requests_by_gunicorn(stream: bytes) -> list[Seen]:
    """Read requests with gunicorn's own parser."""
    settings = Config()
    settings.set("permit_unconventional_http_method", True)
    pieces = (stream[at : at + 4096] for at in range(0, len(stream), 4096))
    parser = cast("Iterator[Any]", RequestParser(settings, pieces, ("127.0.0.1", 1)))
    seen: list[Seen] = []
    try:
        for request in parser:
            target = request.uri.encode("latin-1")
            seen.append(Seen((request.method.encode(), target), request.body.read()))
    except (StopIteration, ParseException) as error:
        if isinstance(error, StopIteration):
            return seen
        raise RefusedError(f"gunicorn: {error!r}", seen) from error
    return seen


def responses_by_h11(stream: bytes, methods: list[bytes]) -> list[Seen]:
    """Read the responses to requests of these methods with h11, as far as they are whole."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_WINDOW)
    if stream:  # nothing would be the end
        connection.receive_data(stream)
    seen: list[Seen] = []
    try:
        for method in methods:
            connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
            connection.send(h11.EndOfMessage())
            status, content = b"", b""
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Response):
                    status = b"%d" % event.status_code
                elif isinstance(event, h11.Data):
                    content += bytes(event.data)
                elif not isinstance(event, h11.InformationalResponse):
                    return seen
            seen.append(Seen((status,), content))
            if connection.their_state is not h11.DONE:
                return seen
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        raise RefusedError(f"h11: {error}", seen) from error
    return seen


class _Octets:
    """What http.client reads from."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, _mode: str) -> io.BytesIO:
        """Return the stream itself; closing a response must not close it."""
        return _Kept(self._stream)


class _Kept(io.BytesIO):
    """A view of a stream that stays where it is when it is closed."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__()
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        return self._stream.read(size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._stream.readline(size)

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer)

    def read1(self, size: int | None = -1) -> bytes:
        return self._stream.read1(size)


def responses_by_llhttp(stream: bytes, _methods: list[bytes]) -> list[Seen]:
    """Read the responses to requests other than HEAD with llhttp, as far as they are whole."""
    collected = _Collected()
    parser = httptools.HttpResponseParser(collected)
    collected.method = lambda: b"%d" % parser.get_status_code()
    try:
        parser.feed_data(stream)
    except httptools.HttpParserError as error:
        raise RefusedError(f"llhttp: {error}", collected.final()) from error
    return collected.final()


def responses_by_http_client(stream: bytes, methods: list[bytes]) -> list[Seen]:
    """Read the responses with the standard library's client, as far as they are whole."""
    seen: list[Seen] = []
    octets = io.BytesIO(stream)
    waiting = list(reversed(methods))
    while waiting and octets.tell() < len(stream):
        response = http.client.HTTPResponse(cast("Any", _Octets(octets)), method=waiting[-1].decode())
        try:
            response.begin()
            content = response.read()
        except http.client.IncompleteRead:
            return seen
        except (http.client.HTTPException, ValueError) as error:
            raise RefusedError(f"http.client: {error!r}", seen) from error
        if response.status < 200:
            continue  # it only knows 100 itself
        waiting.pop()
        seen.append(Seen((b"%d" % response.status,), content))
        if response.will_close:
            return seen
    return seen
