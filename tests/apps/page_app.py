"""A small web app with a page that tries everything a browser can do, and reports what it found.

`GET /` is the page (`browser_page.html`); what it found it sends to `/report`, where whoever runs the browser reads it.
"""

import asyncio
import gzip
import hashlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PAGE = Path(__file__).with_name("browser_page.html").read_text()
PIXEL = '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{0}"/><!--' + "x" * 20_000 + "-->"
LARGE = Path(os.environ["APP_FILES"]) / "large.bin"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
TICKS = 5

asked: defaultdict[str, int] = defaultdict(int)
notes: list[str] = []
reports: list[Any] = []
reload_wanted, reload_done = asyncio.Event(), asyncio.Event()


async def page(_request: Request) -> Response:
    """Return the page, packed as a browser wants it."""
    fields = {
        "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding",
        "Content-Type": "text/html; charset=utf-8",
    }
    return Response(gzip.compress(PAGE.encode()), headers=fields)


async def asset(request: Request) -> Response:
    """Return a picture of its own size, which is fresh as long as its tag says so."""
    number = int(request.path_params["number"])
    tag = f'"{number}"'
    fields = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=fields)
    return Response(PIXEL.format(number), media_type="image/svg+xml", headers=fields)


async def counted(request: Request) -> Response:
    """Say how often this path was asked for, whoever asked."""
    asked[request.url.path] += 1
    return JSONResponse(asked[request.url.path])


async def account(request: Request) -> Response:
    """Say whose page this is."""
    return JSONResponse(request.cookies.get("user"))


async def login(request: Request) -> Response:
    """Let a user in, by a form."""
    form = (await request.body()).decode()
    answer = RedirectResponse("/account", 303)
    answer.set_cookie("user", form.removeprefix("user="), secure=True)
    return answer


async def written(request: Request) -> Response:
    """Keep a note; list all notes."""
    if request.method == "POST":
        notes.append((await request.body()).decode())
    return JSONResponse(notes)


async def large(_request: Request) -> Response:
    """Return eight megabytes, or a part of them."""
    return FileResponse(LARGE, headers={"X-Digest": hashlib.sha256(LARGE.read_bytes()).hexdigest()})


async def endless(_request: Request) -> Response:
    """Send until the reader leaves."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces(), media_type="application/octet-stream")


async def upload(request: Request) -> Response:
    """Return the digest of what was sent."""
    digest = hashlib.sha256()
    async for piece in request.stream():
        digest.update(piece)
    return JSONResponse(digest.hexdigest())


async def ticks(_request: Request) -> Response:
    """Send events, one after the other."""

    async def sending() -> AsyncIterator[str]:
        for number in range(TICKS):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.3)

    return StreamingResponse(sending(), media_type="text/event-stream")


async def echo(request: Request) -> Response:
    """Say what came."""
    fields = {
        name: value for name, value in request.headers.items() if name.startswith(("x-", "host", "via"))
    }
    target = request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode()
    return JSONResponse({"method": request.method, "target": target, "fields": fields})


async def talk(websocket: WebSocket) -> None:
    """Send every message back; at "reload" wait until that has happened."""
    await websocket.accept()
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            if (text := message.get("text")) is None:
                await websocket.send_bytes(message["bytes"])
                continue
            if text == "reload":
                reload_wanted.set()
                await reload_done.wait()
            if text == "end":
                await websocket.close(4001, "as asked")
                return
            await websocket.send_text(text)
    except WebSocketDisconnect:
        return


async def reload(request: Request) -> Response:
    """GET: wait until the page wants a reload. POST: it has happened."""
    if request.method == "POST":
        reload_done.set()
    else:
        await reload_wanted.wait()
    return Response(status_code=204)


async def report(request: Request) -> Response:
    """POST: keep what the page found. GET: return it, null while it is still at work."""
    if request.method == "POST":
        reports.append(await request.json())
    return JSONResponse(reports[-1] if reports else None)


async def index(_request: Request) -> Response:
    """Return a page without a script."""
    return HTMLResponse("<!DOCTYPE html><title>plain</title>")


app = Starlette(
    routes=[
        Route("/", page),
        Route("/plain", index),
        Route("/assets/{number:int}", asset),
        Route("/counted/{name}", counted),
        Route("/limited/{name}", counted),
        Route("/account", account),
        Route("/login", login, methods=["POST"]),
        Route("/notes", written, methods=["GET", "POST"]),
        Route("/large", large),
        Route("/endless", endless),
        Route("/upload", upload, methods=["POST"]),
        Route("/ticks", ticks),
        Route("/echo/{rest:path}", echo, methods=METHODS),
        Route("/reload", reload, methods=["GET", "POST"]),
        Route("/report", report, methods=["GET", "POST"]),
        WebSocketRoute("/talk", talk),
    ]
)
