"""Clients that never rest: some keep their connection, some open a new one for every request."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

PATIENCE = 60.0


@dataclass
class Load:
    """What happened to the requests; a failure is whatever is not a complete 200."""

    port: int
    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    finished: bool = False

    async def run(self, *, keeping: int = 4, opening: int = 4) -> None:
        """Send requests until `finished`."""
        async with asyncio.TaskGroup() as clients:
            for number in range(keeping + opening):
                clients.create_task(self._client(keeps=number < keeping))

    async def _client(self, *, keeps: bool) -> None:
        while not self.finished:
            try:
                await self._connection(keeps=keeps)
            except (OSError, EOFError, TimeoutError) as exc:
                self.failures[repr(exc)] += 1

    async def _connection(self, *, keeps: bool) -> None:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            goes_on = True
            while goes_on and not self.finished:
                wish = b"" if keeps else b"Connection: close\r\n"
                writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + wish + b"\r\n")
                async with asyncio.timeout(PATIENCE):
                    goes_on = await self._answer(reader)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in fields if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200 "):
            self.answers += 1
        else:
            self.failures[head.split(b"\r\n")[0].decode()] += 1
        return b"connection: close" not in fields
