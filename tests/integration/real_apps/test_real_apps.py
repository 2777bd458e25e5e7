"""Uploads, downloads, cookies, redirects, ranges and HEAD, with real apps and real clients."""

import hashlib
import json
import socket
from pathlib import Path

import pytest

from tests.fakes.apps import LARGE, content
from tests.fakes.front import Front

BODILESS = (204, 304)


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize("length", [0, 1, 65_535, 9_000_000])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload_of_known_length(front: Front, method: str, length: int) -> None:
    body = content(0, length)
    answer = front.ask(method, "/upload", body=body, headers={"Content-Type": "application/x-test"})
    assert json.loads(answer.body) == {
        "length": length,
        "sha256": digest(body),
        "content_type": "application/x-test",
    }


@pytest.mark.parametrize("pieces", [0, 1, 700])
def test_a_chunked_upload(front: Front, pieces: int) -> None:
    body = [content(number * 5001, (number + 1) * 5001) for number in range(pieces)]
    answer = front.ask("POST", "/upload", body=iter(body))
    told = json.loads(answer.body)
    assert (told["length"], told["sha256"]) == (5001 * pieces, digest(b"".join(body)))


@pytest.mark.parametrize("options", [(), ("-H", "Transfer-Encoding: chunked")])
def test_an_upload_that_waits_for_100_continue(front: Front, files: Path, options: tuple[str, ...]) -> None:
    expect = (
        "-X",
        "POST",
        "-T",
        files / "large.bin",
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "20",
    )
    told = json.loads(front.curl("/upload", *expect, *options))
    assert (told["length"], told["sha256"]) == (LARGE, digest(content(0, LARGE)))


def test_a_form(front: Front, files: Path) -> None:
    told = json.loads(front.curl("/upload", "-F", f"file=@{files / 'small.bin'}"))
    assert told["content_type"].startswith("multipart/form-data; boundary=")
    assert told["length"] > 1000


def test_a_download(front: Front) -> None:
    answer = front.ask("GET", "/files/large.bin")
    assert answer.status == 200
    assert answer.one("Content-Length") == str(LARGE)
    assert answer.body == content(0, LARGE)


def test_an_empty_download(front: Front) -> None:
    answer = front.ask("GET", "/files/empty.bin")
    assert (answer.status, answer.one("Content-Length"), answer.body) == (200, "0", b"")


def test_a_download_that_goes_on_where_it_stopped(front: Front, tmp_path: Path) -> None:
    part = tmp_path / "part.bin"
    part.write_bytes(content(0, 5_000_000))
    front.curl("/files/large.bin", "-C", "-", "-o", part)
    assert part.read_bytes() == content(0, LARGE)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1000000-", 1_000_000, LARGE),
        ("bytes=-16", LARGE - 16, LARGE),
    ],
)
def test_a_range(front: Front, wanted: str, start: int, end: int) -> None:
    answer = front.ask("GET", "/files/large.bin", headers={"Range": wanted})
    assert answer.status == 206
    assert answer.one("Content-Range") == f"bytes {start}-{end - 1}/{LARGE}"
    assert answer.body == content(start, end)


def test_a_range_beyond_the_end(front: Front) -> None:
    answer = front.ask("GET", "/files/large.bin", headers={"Range": "bytes=99999999-"})
    assert (answer.status, answer.one("Content-Range")) == (416, f"bytes */{LARGE}")


def test_head_tells_the_length_and_the_connection_lives_on(front: Front) -> None:
    with front.connection() as connection:
        for _ in range(3):
            head = front.ask("HEAD", "/files/large.bin", connection=connection)
            assert (head.status, head.one("Content-Length"), head.body) == (200, str(LARGE), b"")
            assert front.ask("GET", "/files/small.bin", connection=connection).body == content(0, 1000)


def test_several_cookies_stay_several_fields(front: Front) -> None:
    answer = front.ask("GET", "/cookies/set?session=abc&theme=dark")
    assert [value.split(";")[0] for value in answer.all("Set-Cookie")] == ["session=abc", "theme=dark"]


def test_cookies_come_back_and_belong_to_one_client(front: Front, tmp_path: Path) -> None:
    for user in ("ann", "bob"):
        jar = tmp_path / f"{user}.jar"
        front.curl(f"/cookies/set?session={user}", "-c", jar)
    for user in ("ann", "bob"):
        told = json.loads(front.curl("/cookies", "-b", tmp_path / f"{user}.jar"))
        assert told == {"session": user}
    assert json.loads(front.curl("/cookies")) == {}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/echo", "https://elsewhere.example/path?x=1#part", "../up"])
def test_a_redirect_passes_as_it_is(front: Front, status: int, location: str) -> None:
    target = f"/redirect?status={status}&to={location.replace('#', '%23')}"
    answer = front.ask("GET", target)
    assert (answer.status, answer.one("Location")) == (status, location)


def test_a_redirect_can_be_followed(front: Front) -> None:
    told = json.loads(front.curl("/redirect?status=307&to=/echo", "-L", "-X", "POST", "-d", "x=1"))
    assert (told["method"], told["target"]) == ("POST", "/echo")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_reach_the_app(front: Front, method: str) -> None:
    assert json.loads(front.ask(method, "/echo").body)["method"] == method


@pytest.mark.parametrize(
    "target", ["/echo?x=%41%2F&y=a+b&z", "/echo?", "/echo?q=%E4%F6&q=2", "/echo?a=/../b//c", "/ec%68o?x=1"]
)
def test_the_target_reaches_the_app_as_it_is(front: Front, target: str) -> None:
    told = json.loads(front.ask("GET", target).body)
    if front.app == "starlette":  # an ASGI scope cannot tell "?" with nothing behind it from no query
        target = target.removesuffix("?")
    assert told["target"] == target


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 418, 500, 503])
def test_a_status_passes_and_the_connection_lives_on(front: Front, status: int) -> None:
    with front.connection() as connection:
        for _ in range(2):
            answer = front.ask("GET", f"/status/{status}", connection=connection)
            assert answer.status == status
            assert answer.body == (b"" if status in BODILESS else b"status %d\n" % status)


def test_many_requests_on_one_connection(front: Front) -> None:
    with front.connection() as connection:
        connection.connect()
        sock = connection.sock
        for number in range(50):
            body = content(0, number)
            answer = front.ask("POST", f"/upload?{number}", body=body, connection=connection)
            assert json.loads(answer.body)["sha256"] == digest(body)
        assert connection.sock is sock


def test_a_client_that_leaves_in_the_middle_harms_nobody(front: Front) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", front.port)) as leaving:
            leaving.sendall(f"GET /files/large.bin HTTP/1.1\r\nHost: {front.authority}\r\n\r\n".encode())
            assert leaving.recv(1000)
        with socket.create_connection(("127.0.0.1", front.port)) as leaving:
            head = f"POST /upload HTTP/1.1\r\nHost: {front.authority}\r\nContent-Length: 1000\r\n\r\n"
            leaving.sendall(head.encode() + b"half")
    assert front.ask("GET", "/files/small.bin").body == content(0, 1000)
