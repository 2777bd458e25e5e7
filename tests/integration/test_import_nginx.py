"""nginx and, from the same file, Foregate: who is answered with what, and what the app gets to see of it."""

import http.client
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.importing.draft import Draft
from proxy.importing.nginx.reader import read_nginx
from proxy.importing.repair import make_valid
from proxy.importing.toml_text import proxy_toml
from tests.fakes.foregate import PATIENCE, Foregate
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin
from tests.fakes.ports import free_port

NGINX = """
pid FOLDER/nginx.pid; error_log FOLDER/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f;
    uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
    upstream app { server 127.0.0.1:ORIGIN; }
    proxy_set_header X-Everywhere yes;
    server {
        listen 127.0.0.1:PORT;
        server_name a.example.com;
        client_max_body_size 1k;
        location / { proxy_pass http://app; proxy_set_header Host $host; proxy_set_header X-App front; }
        location /strip/ { proxy_pass http://app/; }
        location /raw/ { proxy_pass http://127.0.0.1:ORIGIN; }
        location /inner/ { deny all; proxy_pass http://app; }
        location /mine/ { allow 127.0.0.0/8; deny all; proxy_pass http://app; }
        location /others/ { allow 192.0.2.0/24; deny all; proxy_pass http://app; }
        location /gone/ { return 404; }
        location /old/ { return 301 https://b.example.com$request_uri; }
        location /upload/ { client_max_body_size 0; proxy_pass http://app; }
        location ~ ^/(one|two)/ { proxy_pass http://app; add_header X-Which $PATTERN; add_header X-Kind pattern; }
        location /added/ { proxy_pass http://app; add_header X-Kind added; proxy_hide_header X-Secret; }
    }
    server { listen 127.0.0.1:PORT; server_name c.example.com; return 301 https://b.example.com$request_uri; }
    server { listen 127.0.0.1:PORT default_server; server_name _; return 404; }
}
""".replace("$PATTERN", "pattern")


class Seen(NamedTuple):
    """What a client gets: a status, where it is sent, and some fields."""

    status: int
    location: str | None
    kind: str | None
    secret: str | None


def _app(request: OriginRequest) -> OriginResponse:
    return OriginResponse(fields=[("X-Secret", "of the app"), ("Cache-Control", "no-store")])


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with running_origin() as origin:
        origin.answer = _app
        yield origin


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, app: Origin) -> Path:
    folder = tmp_path_factory.mktemp("nginx")
    text = (
        NGINX.replace("FOLDER", str(folder))
        .replace("ORIGIN", str(app.port))
        .replace("PORT", str(free_port()))
    )
    (folder / "nginx.conf").write_text(text)
    return folder


def _port(folder: Path) -> int:
    text = (folder / "nginx.conf").read_text()
    return int(text.partition("listen 127.0.0.1:")[2].partition(";")[0])


@pytest.fixture(scope="module")
def nginx(folder: Path) -> Iterator[int]:
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf"]
    # It goes into the background once it listens.
    subprocess.run([*command, "-e", str(folder / "error.log")], check=True, timeout=PATIENCE)
    try:
        yield _port(folder)
    finally:
        subprocess.run(
            [*command, "-e", str(folder / "error.log"), "-s", "stop"], check=True, timeout=PATIENCE
        )


@pytest.fixture(scope="module")
def foregate(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    draft = Draft()
    read_nginx([folder / "nginx.conf"], draft)
    user = "root" if os.geteuid() == 0 else ""
    draft.table("server").update(http=["127.0.0.1:0"], metrics="127.0.0.1:0", workers=1, user=user)
    draft.table("tls")["storage"] = "storage"
    draft.table("log")["level"] = "debug"
    make_valid(draft)
    instance = Foregate(tmp_path_factory.mktemp("foregate"), proxy_toml(draft.document, draft.notes, "nginx"))
    try:
        instance.wait_serving(1)
        yield instance.port
    finally:
        instance.close()


def _ask(port: int, method: str, host: str, path: str, size: int = 0) -> Seen:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, b"x" * size if size else None, {"Host": host})
        answer = connection.getresponse()
        answer.read()
        fields = [answer.getheader(name) for name in ("Location", "X-Kind", "X-Secret")]
        return Seen(answer.status, *fields)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "host", "path", "size"),
    [
        ("GET", "a.example.com", "/", 0),
        ("GET", "a.example.com", "/x?y=%2F", 0),
        ("POST", "a.example.com", "/form", 500),
        ("POST", "a.example.com", "/form", 2000),
        ("POST", "a.example.com", "/upload/x", 5000),
        ("GET", "a.example.com", "/strip/x/y?z", 0),
        ("GET", "a.example.com", "/raw/a%2Fb", 0),
        ("GET", "a.example.com", "/inner/x", 0),
        ("GET", "a.example.com", "/mine/x", 0),
        ("GET", "a.example.com", "/others/x", 0),
        ("GET", "a.example.com", "/gone/x", 0),
        ("GET", "a.example.com", "/old/x?y", 0),
        ("GET", "a.example.com", "/one/x", 0),
        ("GET", "a.example.com", "/two/x", 0),
        ("GET", "a.example.com", "/added/x", 0),
        ("GET", "c.example.com", "/x?y", 0),
        ("GET", "unknown.example.com", "/", 0),
    ],
)
def test_the_same_request_is_treated_alike(
    nginx: int, foregate: int, app: Origin, method: str, host: str, path: str, size: int
) -> None:
    seen: list[Seen] = []
    reached: list[list[tuple[str, str | None, str | None, str | None]]] = []
    for port in (nginx, foregate):
        app.requests.clear()
        answer = _ask(port, method, host, path, size)
        # These differ on purpose, and the import says so: 308 for 301, 403 for what nginx answers itself.
        status = {301: 308}.get(answer.status, answer.status)
        seen.append(answer._replace(status=403 if status == 404 and host == "a.example.com" else status))
        reached.append(
            [(r.target, _host(r, app), r.one("x-app"), r.one("x-everywhere")) for r in app.requests]
        )
    assert seen[0] == seen[1]
    assert reached[0] == reached[1]


def _host(request: OriginRequest, app: Origin) -> str:
    """Return the Host that the app saw; nginx names its upstream block where Foregate names the address."""
    return (request.one("host") or "").replace(f"127.0.0.1:{app.port}", "app")
