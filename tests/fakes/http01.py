"""A server that answers HTTP-01 challenges as a worker does: statelessly, from the account's thumbprint."""

import asyncio
from types import TracebackType
from typing import Self

from autocert.challenge import PREFIX, key_authorization


class ChallengeServer:
    """Listens on loopback; `thumbprint` None makes it answer like somebody else's server."""

    def __init__(self, port: int = 0) -> None:
        self.thumbprint: str | None = None
        self.asked: list[str] = []
        self.port = port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            self.asked.append(fields.get("Host", "").rsplit(":", 1)[0])
            if path.startswith(PREFIX) and self.thumbprint is not None:
                status, body = "200 OK", key_authorization(path.removeprefix(PREFIX), self.thumbprint)
            else:
                status, body = "404 Not Found", "somebody else's page"
            reply = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
            writer.write(reply.encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, IndexError):
            pass
        finally:
            writer.close()
