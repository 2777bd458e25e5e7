"""A Flask app as users write it, to be run under gunicorn with threads."""

import hashlib
import os
import queue
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, jsonify, redirect, request, send_file

FILES = Path(os.environ["APP_FILES"])
CHUNK = 65_536

app = Flask(__name__)
channels: defaultdict[str, "queue.Queue[str]"] = defaultdict(queue.Queue)


@app.get("/")
def index() -> str:
    """Say who answers."""
    return "flask"


@app.get("/cookies")
def cookies() -> Response:
    """Return the cookies that the client sent."""
    return jsonify(request.cookies.to_dict())


@app.get("/cookies/set")
def set_cookies() -> Response:
    """Set one cookie for each query parameter."""
    response = Response(status=204)
    for name, value in request.args.items():
        response.set_cookie(name, value, httponly=True, path="/")
    return response


@app.route("/redirect", methods=["GET", "POST"])
def redirected() -> Response:
    """Redirect as the query says."""
    response = redirect(request.args["to"], int(request.args["status"]))
    return Response(status=response.status_code, headers={"Location": request.args["to"]})


@app.route("/upload", methods=["POST", "PUT"])
def upload() -> Response:
    """Return the length and the digest of what was sent."""
    digest, length = hashlib.sha256(), 0
    while piece := request.stream.read(CHUNK):
        digest.update(piece)
        length += len(piece)
    return jsonify(
        length=length, sha256=digest.hexdigest(), content_type=request.headers.get("Content-Type", "")
    )


@app.get("/files/<name>")
def file(name: str) -> Response:
    """Serve a file, with ranges and validators."""
    return send_file(FILES / name, mimetype="application/octet-stream", conditional=True)


@app.get("/stream")
def stream() -> Response:
    """Send lines without a known length."""
    count = int(request.args["lines"])
    return Response((f"line {number}\n" for number in range(count)), mimetype="text/plain")


@app.get("/events")
def events() -> Response:
    """Send an event for each message of a channel until an empty one."""
    channel = channels[request.args["channel"]]

    def sending() -> Iterator[str]:
        yield ": welcome\n\n"
        while message := channel.get():
            yield f"data: {message}\n\n"

    return Response(sending(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


@app.post("/events")
def publish() -> Response:
    """Put a message into a channel."""
    channels[request.args["channel"]].put(request.get_data(as_text=True))
    return Response(status=204)


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def echo() -> Response:
    """Return the request head as the app saw it."""
    target = request.environ.get("RAW_URI", "")
    fields = [[name.lower(), value] for name, value in request.headers.items()]
    return jsonify(method=request.method, target=target, fields=fields)


@app.get("/status/<int:code>")
def status(code: int) -> Response:
    """Answer with a status code and a body."""
    return Response(f"status {code}\n" if code not in (204, 304) else "", status=code)
