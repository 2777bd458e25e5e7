"""A Starlette app as users write it, to be run under uvicorn."""

import asyncio
import hashlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

FILES = Path(os.environ["APP_FILES"])

channels: defaultdict[str, "asyncio.Queue[str]"] = defaultdict(asyncio.Queue)


async def index(request: Request) -> Response:
    """Say who answers."""
    return PlainTextResponse("starlette")


async def cookies(request: Request) -> Response:
    """Return the cookies that the client sent."""
    return JSONResponse(request.cookies)


async def set_cookies(request: Request) -> Response:
    """Set one cookie for each query parameter."""
    response = Response(status_code=204)
    for name, value in request.query_params.items():
        response.set_cookie(name, value, httponly=True)
    return response


async def redirected(request: Request) -> Response:
    """Redirect as the query says."""
    return RedirectResponse(request.query_params["to"], int(request.query_params["status"]))


async def upload(request: Request) -> Response:
    """Return the length and the digest of what was sent."""
    digest, length = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        length += len(piece)
    content_type = request.headers.get("content-type", "")
    return JSONResponse({"length": length, "sha256": digest.hexdigest(), "content_type": content_type})


async def file(request: Request) -> Response:
    """Serve a file, with ranges and validators."""
    return FileResponse(FILES / request.path_params["name"], media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    """Send lines without a known length."""
    count = int(request.query_params["lines"])

    async def lines() -> AsyncIterator[str]:
        for number in range(count):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def events(request: Request) -> Response:
    """Send an event for each message of a channel until an empty one."""
    channel = channels[request.query_params["channel"]]

    async def sending() -> AsyncIterator[str]:
        yield ": welcome\n\n"
        while message := await channel.get():
            yield f"data: {message}\n\n"

    return StreamingResponse(sending(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def publish(request: Request) -> Response:
    """Put a message into a channel."""
    channels[request.query_params["channel"]].put_nowait((await request.body()).decode())
    return Response(status_code=204)


async def echo(request: Request) -> Response:
    """Return the request head as the app saw it."""
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    fields = [[name.decode(), value.decode("latin-1")] for name, value in request.headers.raw]
    return JSONResponse({"method": request.method, "target": target.decode(), "fields": fields})


async def status(request: Request) -> Response:
    """Answer with a status code and a body."""
    code = request.path_params["code"]
    return PlainTextResponse(f"status {code}\n" if code not in (204, 304) else "", status_code=code)


async def socket(websocket: WebSocket) -> None:
    """Send every message back, text as text and binary as binary."""
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


app = Starlette(
    routes=[
        Route("/", index),
        Route("/cookies", cookies),
        Route("/cookies/set", set_cookies),
        Route("/redirect", redirected, methods=["GET", "POST"]),
        Route("/upload", upload, methods=["POST", "PUT"]),
        Route("/files/{name}", file),
        Route("/stream", stream),
        Route("/events", events, methods=["GET"]),
        Route("/events", publish, methods=["POST"]),
        Route("/echo", echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        Route("/status/{code:int}", status),
        WebSocketRoute("/socket", socket),
    ]
)
