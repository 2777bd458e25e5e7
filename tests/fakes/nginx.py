"""A real nginx on a free port, as an app whose own slowness is not measured."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.fakes.ports import free_port

_PATIENCE: Final = 60.0
_CONFIGURATION: Final = """
daemon off; pid nginx.pid; error_log error.log crit;
master_process off;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000; client_max_body_size 0; merge_slashes off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path u; scgi_temp_path s;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}; {locations} }}
}}
"""


@contextmanager
def running_nginx(locations: str, files: dict[str, int] | None = None) -> Iterator[int]:
    """Run nginx with these locations, and with files of so many octets at its root; yields its port, @PORT@ in them."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, size in (files or {}).items():
            (folder / file).write_bytes(b"x" * size)
        text = _CONFIGURATION.format(
            port=port, folder=folder, locations=locations.replace("@PORT@", str(port))
        )
        (folder / "nginx.conf").write_text(text)
        process = subprocess.Popen(["nginx", "-p", name, "-c", "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("nginx does not listen")
