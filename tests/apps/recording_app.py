"""An app that writes down each request that it carries out, and announces when it listens.

Usage: recording_app.py PORT JOURNAL NAME. SIGTERM lets it finish what it has begun (uvicorn's graceful shutdown).
"""

import os
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PORT, JOURNAL, NAME = int(sys.argv[1]), sys.argv[2], sys.argv[3]
journal = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


async def carry_out(request: Request) -> Response:
    """Write the id of a request down, in one piece even when the app is killed, and say who did it."""
    await request.body()
    os.write(journal, f"{request.query_params['id']}\n".encode())
    return PlainTextResponse(NAME)


class AnnouncingServer(uvicorn.Server):
    """A server that says on its standard output when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and then tell."""
        await super().startup(sockets)
        print("ready", flush=True)


if __name__ == "__main__":
    app = Starlette(routes=[Route("/carry-out", carry_out, methods=["GET", "POST"])])
    AnnouncingServer(uvicorn.Config(app, port=PORT, log_level="critical", backlog=512)).run()
