"""An app whose every answer can be checked, and which misbehaves where its target says so.

The content of an answer is made from target and cookie alone (`content_of`), so that whoever asked can tell an answer
that is cut, mixed up or another user's. The first segment of a target says what happens; see the methods.
"""

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

#: Largest content in octets; most are far smaller.
LARGEST: Final = 300_000
PIECE: Final = 16_384
_RESET: Final = struct.pack("ii", 1, 0)


def content_of(target: str, cookie: str) -> bytes:
    """Return the content that answers a target for a user."""
    seed = hashlib.sha256(f"{target} {cookie}".encode()).digest()
    size = LARGEST if seed[0] == 0 else int.from_bytes(seed[1:3], "big") % (20_000 if seed[0] < 40 else 900)
    return (seed * (size // 32 + 1))[:size]


class SoakApp:
    """Listens on a port of its own, which stays the same through outages."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self.served = 0
        self.malformed = 0

    @property
    def url(self) -> str:
        """Return what an upstream is configured as."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: refuse connections, and reset those that are open."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            _reset(writer)
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                self.served += 1
        except (OSError, EOFError):
            pass  # the gateway has left
        except (ValueError, IndexError):
            self.malformed += 1
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; say whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head[:-4].split("\r\n")
        method, target, _version = start.split(" ")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        kind = target.split("/")[1]
        deed: Callable[..., Awaitable[bool]] = getattr(self, f"_{kind}")
        return await deed(reader, writer, method, target, fields)

    async def _send(
        self, writer: asyncio.StreamWriter, fields: str, content: bytes, *, chunked: bool
    ) -> None:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(content)}"
        writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n{fields}\r\n".encode())
        for at in range(0, len(content), PIECE):
            piece = content[at : at + PIECE]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _page(
        self,
        _reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        target: str,
        fields: dict[str, str],
    ) -> bool:
        """A page that may be cached, whole or in chunks."""
        content = content_of(target, fields.get("cookie", ""))
        await self._send(writer, "", b"" if method == "HEAD" else content, chunked=len(content) % 2 == 1)
        return True

    async def _fresh(
        self,
        _reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        _method: str,
        target: str,
        fields: dict[str, str],
    ) -> bool:
        """A page that may not be cached, after a moment."""
        await asyncio.sleep(0.02)
        content = content_of(target, fields.get("cookie", ""))
        await self._send(writer, "Cache-Control: no-store\r\n", content, chunked=len(content) % 2 == 0)
        return True

    async def _echo(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        _method: str,
        _target: str,
        fields: dict[str, str],
    ) -> bool:
        """The content of the request."""
        content = b""
        if "content-length" in fields:
            content = await reader.readexactly(int(fields["content-length"]))
        else:
            while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
                content += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        await self._send(writer, "", content, chunked=False)
        return True

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        _method: str,
        _target: str,
        _fields: dict[str, str],
    ) -> bool:
        """A tunnel that sends everything back."""
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while octets := await reader.read(PIECE):
            writer.write(octets)
            await writer.drain()
        return False

    async def _cut(self, _reader: object, writer: asyncio.StreamWriter, *_rest: object) -> bool:
        """An answer that ends in the middle."""
        writer.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5000\r\n\r\n" + b"x" * 2500
        )
        await writer.drain()
        return False

    async def _reset(self, _reader: object, writer: asyncio.StreamWriter, *_rest: object) -> bool:
        """A reset instead of an answer."""
        _reset(writer)
        return False

    async def _garbage(self, _reader: object, writer: asyncio.StreamWriter, *_rest: object) -> bool:
        """Something else than HTTP."""
        writer.write(b"220 hello\r\n\r\n")
        await writer.drain()
        return False

    async def _surplus(
        self, _reader: object, writer: asyncio.StreamWriter, _method: str, target: str, fields: dict[str, str]
    ) -> bool:
        """More than was announced: another answer behind this one."""
        content = content_of(target, fields.get("cookie", ""))
        poison = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"
        writer.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s%s"
            % (len(content), content, poison)
        )
        await writer.drain()
        return False

    async def _stall(self, reader: asyncio.StreamReader, _writer: object, *_rest: object) -> bool:
        """No answer at all."""
        with contextlib.suppress(OSError):
            await reader.read()
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
