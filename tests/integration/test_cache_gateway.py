"""The output cache as clients and the app see it, through a real `foregate run` with two workers."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin

StartForegate = Callable[..., Foregate]
UNLIMITED = '[rate_limit]\nrate = "off"\n[limits]\nconnections_per_ip = 2000\n'


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with running_origin() as origin:
        yield origin


@pytest.fixture
def origin(app: Origin) -> Origin:
    """Return the app as it was in the beginning."""
    app.answer = lambda request: OriginResponse()
    app.requests.clear()
    return app


@pytest.fixture(scope="module")
def front(app: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foregate]:
    """Return an instance for all tests, each of which asks for pages of its own."""
    tables = UNLIMITED + '[cache]\nttl = "1h"\nwait = "1h"\n'
    instance = Foregate(tmp_path_factory.mktemp("front"), configuration(app.url, tables=tables))
    try:
        instance.wait_serving(2)
        yield instance
    finally:
        instance.close()


def ask(
    front: Foregate, path: str, method: str = "GET", content: bytes | None = None, **fields: str
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(*front.address("http"), timeout=PATIENCE)
    try:
        names = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, body=content, headers={"Host": "a.example", **names})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def outcome(response: HTTPResponse) -> str | None:
    return response.getheader("X-Cache-Status")


async def ask_many(front: Foregate, path: str, number: int) -> list[bytes]:
    """Send the same GET on so many connections at once; return what came back."""

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection(*front.address("http"))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer

    return await asyncio.gather(*[one() for _ in range(number)])


def test_a_thousand_clients_of_one_slow_page_cost_the_app_one_request(
    front: Foregate, origin: Origin
) -> None:
    release = threading.Event()

    def answer(request: OriginRequest) -> OriginResponse:
        release.wait(PATIENCE)
        return OriginResponse(content=b"slow page")

    origin.answer = answer
    threading.Timer(0.5, release.set).start()
    answers = asyncio.run(ask_many(front, "/slow", 1000))
    assert [a.count(b"slow page") for a in answers] == [1] * 1000
    assert all(a.startswith(b"HTTP/1.1 200 ") for a in answers)
    assert len([r for r in origin.requests if r.target == "/slow"]) == 1


def test_users_never_see_each_other(front: Foregate, origin: Origin) -> None:
    origin.answer = lambda request: OriginResponse(content=f"for {request.one('cookie')}".encode())
    for _ in range(3):
        for user in ("alice", "bob"):
            _, content = ask(front, "/me", Cookie=f"session={user}")
            assert content == f"for session={user}".encode()
    assert len(origin.requests) == 2


def test_ignored_cookies_neither_split_the_cache_nor_reach_the_app(front: Foregate, origin: Origin) -> None:
    ask(front, "/page", Cookie="_ga=GA1.2; session=x")
    response, _ = ask(front, "/page", Cookie="session=x; _gid=9")
    assert outcome(response) == "HIT"
    assert origin.requests[0].one("cookie") == "session=x"


def test_own_writes_are_seen_at_once_in_all_workers(front: Foregate, origin: Origin) -> None:
    items: list[str] = []

    def answer(request: OriginRequest) -> OriginResponse:
        if request.method == "POST":
            items.append(request.content.decode())
            return OriginResponse(status=303, content=b"", fields=[("Location", "/list")])
        return OriginResponse(content=",".join(items).encode())

    origin.answer = answer
    for number in range(30):
        ask(front, "/add", "POST", f"{number}".encode(), Cookie="session=a")
        for _ in range(2):
            _, content = ask(front, "/list", Cookie="session=a")
            assert content.decode().split(",")[-1] == str(number)


def test_a_failing_app_is_covered_by_what_is_stored(origin: Origin, start_foregate: StartForegate) -> None:
    cache = '[cache]\nttl = "250ms"\ngrace = "1h"\n'
    front = start_foregate(configuration(origin.url, tables=UNLIMITED + cache))
    front.wait_serving(2)
    origin.answer = lambda request: OriginResponse(content=b"good")
    ask(front, "/page")
    origin.answer = lambda request: OriginResponse(status=503, content=b"bad")
    deadline = time.monotonic() + PATIENCE
    seen = set()
    while time.monotonic() < deadline and "STALE" not in seen:
        response, content = ask(front, "/page")
        assert (response.status, content) == (200, b"good")
        seen.add(outcome(response))
    assert "STALE" in seen
    assert ask(front, "/other")[0].status == 503


def test_what_must_not_be_stored_reaches_everybody_by_itself(front: Foregate, origin: Origin) -> None:
    count = iter(range(1000))

    def answer(request: OriginRequest) -> OriginResponse:
        fields = {
            "/cookie": [("Set-Cookie", "session=new")],
            "/no-store": [("Cache-Control", "no-store")],
            "/private": [("Cache-Control", "private")],
            "/vary": [("Vary", "*")],
        }[request.target]
        return OriginResponse(content=str(next(count)).encode(), fields=fields)

    origin.answer = answer
    for path in ("/cookie", "/no-store", "/private", "/vary"):
        contents = {ask(front, path)[1] for _ in range(4)}
        assert len(contents) == 4, path


def test_conditions_ranges_and_head_are_answered_from_what_is_stored(front: Foregate, origin: Origin) -> None:
    origin.answer = lambda request: OriginResponse(content=b"0123456789", fields=[("ETag", '"v1"')])
    ask(front, "/doc")
    response, content = ask(front, "/doc", If_None_Match='"v1"')
    assert (response.status, content) == (304, b"")
    response, content = ask(front, "/doc", Range="bytes=2-4")
    assert (response.status, content, response.getheader("Content-Range")) == (206, b"234", "bytes 2-4/10")
    response, content = ask(front, "/doc", "HEAD")
    assert (response.status, content, response.getheader("Content-Length")) == (200, b"", "10")
    assert len(origin.requests) == 1


def test_an_unchanged_answer_is_confirmed_and_served_again(
    origin: Origin, start_foregate: StartForegate
) -> None:
    front = start_foregate(
        configuration(origin.url, workers=1, tables=UNLIMITED + '[cache]\nttl = "200ms"\n')
    )
    front.wait_serving(1)

    def answer(request: OriginRequest) -> OriginResponse:
        if request.one("if-none-match") == '"v1"':
            return OriginResponse(status=304, content=b"", fields=[("ETag", '"v1"')])
        return OriginResponse(content=b"document", fields=[("ETag", '"v1"')])

    origin.answer = answer
    ask(front, "/doc")
    deadline = time.monotonic() + PATIENCE
    seen = set()
    while time.monotonic() < deadline and "REVALIDATED" not in seen:
        response, content = ask(front, "/doc")
        assert (response.status, content) == (200, b"document")
        seen.add(outcome(response))
    assert "REVALIDATED" in seen
    assert [r.one("if-none-match") for r in origin.requests[:2]] == [None, '"v1"']


def test_content_of_unknown_length_and_too_large_content_pass_whole(front: Foregate, origin: Origin) -> None:
    large = bytes(range(256)) * 8192  # 2 MB, above object_size

    def answer(request: OriginRequest) -> OriginResponse:
        return OriginResponse(content=large if request.target == "/large" else b"chunks", chunked=True)

    origin.answer = answer
    for path, expected in (("/small", b"chunks"), ("/large", large)):
        for _ in range(2):
            assert ask(front, path)[1] == expected
    assert [r.target for r in origin.requests] == ["/small", "/large", "/large"]
