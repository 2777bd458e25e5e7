"""An app for tests: a small HTTP/1.1 origin server on asyncio that does what the test tells it.

It reads requests with h11, hands each to the test's `answer`, and sends what that returns. Everything that it
received is kept in `requests`. Tests that run in an event loop use `async with Origin()`, tests that block
use `with running_origin()`, which serves from a thread of its own.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import h11

Fields = list[tuple[str, str]]
_CHUNK = 64 * 1024
_PATIENCE = 60.0


@dataclass(slots=True)
class OriginRequest:
    """A request as it came in, with all of its content; field names are in lower case, in order."""

    method: str
    target: str
    fields: Fields
    content: bytes

    def one(self, name: str) -> str | None:
        """Return the value of the only field with this name, or None without one."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} came {len(values)} times")
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Return the values of all fields with this name."""
        return [value for field_name, value in self.fields if field_name == name.lower()]


@dataclass(slots=True)
class OriginResponse:
    """What to answer; content has its length told unless `chunked`, and `wait` holds the answer back."""

    status: int = 200
    content: bytes = b"hello from the origin"
    fields: Fields = field(default_factory=list)
    chunked: bool = False
    wait: asyncio.Event | None = None


Answer = Callable[[OriginRequest], OriginResponse | Awaitable[OriginResponse]]


def _hello(_request: OriginRequest) -> OriginResponse:
    return OriginResponse()


class Origin:
    """The server; use it as an asynchronous context manager."""

    def __init__(self, answer: Answer = _hello) -> None:
        self.answer = answer
        self.requests: list[OriginRequest] = []
        self.connections = 0
        self._arrived_in_thread = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Return the port on 127.0.0.1."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Return what an upstream is configured as."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def wait_for_requests(self, count: int) -> None:
        """Wait in another thread until so many requests have come in."""
        with self._arrived_in_thread:
            assert self._arrived_in_thread.wait_for(lambda: len(self.requests) >= count, _PATIENCE)

    def release(self, event: asyncio.Event) -> None:
        """Set an event that a response waits for, from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(event.set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass  # whatever the other side did is the test's business, and the end of the test ends us
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while (request := await self._read(connection, reader)) is not None:
            self.requests.append(request)
            with self._arrived_in_thread:
                self._arrived_in_thread.notify_all()
            answer = self.answer(request)
            response = answer if isinstance(answer, OriginResponse) else await answer
            if response.wait is not None:
                await response.wait.wait()
            writer.write(_written(connection, request, response))
            await writer.drain()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    async def _read(self, connection: h11.Connection, reader: asyncio.StreamReader) -> OriginRequest | None:
        head: h11.Request | None = None
        content = b""
        while True:
            event = connection.next_event()
            match event:
                case h11.NEED_DATA:
                    connection.receive_data(await reader.read(_CHUNK))
                case h11.Request():
                    head = event
                case h11.Data():
                    content += bytes(event.data)
                case h11.EndOfMessage():
                    assert head is not None
                    fields = [
                        (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers
                    ]
                    return OriginRequest(head.method.decode(), head.target.decode(), fields, content)
                case _:
                    return None


def _written(connection: h11.Connection, request: OriginRequest, response: OriginResponse) -> bytes:
    """Write a response; h11 leaves the content out where there is none (HEAD, 204, 304)."""
    fields = list(response.fields)
    if not response.chunked and response.status not in (204, 304):
        fields.append(("Content-Length", str(len(response.content))))
    events: list[h11.Event] = [h11.Response(status_code=response.status, headers=fields)]
    if request.method != "HEAD" and response.status not in (204, 304) and response.content:
        events.append(h11.Data(data=response.content))
    events.append(h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)


@contextmanager
def running_origin(answer: Answer = _hello) -> Iterator[Origin]:
    """Serve from a thread, for tests that block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    origin = Origin(answer)
    try:
        asyncio.run_coroutine_threadsafe(origin.__aenter__(), loop).result(_PATIENCE)
        yield origin
        asyncio.run_coroutine_threadsafe(origin.__aexit__(), loop).result(_PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
