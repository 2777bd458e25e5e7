"""The app of the demo: it says how many requests have reached it, and what it was told about them."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

_FORWARDED: Final = ("host", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via")


class _App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60.0
    count = itertools.count(1)

    def do_GET(self) -> None:
        seen = {name: self.headers[name] for name in _FORWARDED if name in self.headers}
        answer = {"request": next(self.count), "path": self.path, "fields": seen}
        content = (json.dumps(answer, indent=1) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 (http.server looks for this name)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: Foregate logs."""


@contextmanager
def running_app() -> Iterator[int]:
    """Serve on a free port of the loopback interface, which is returned, until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _App) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
