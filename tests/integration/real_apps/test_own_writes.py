"""Own writes with a real app and its sessions: log in, post, list, log out, under load, through two workers.

Answers are kept for an hour here: what is seen after a write is seen because of the write.
"""

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.fakes.apps import App, running_app
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.front import Front
from tests.fakes.pipelined_client import Answer, PipelinedClient

USERS = 6
WRITES = 30
READS = 3


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    files = tmp_path_factory.mktemp("board") / "files"
    files.mkdir()
    with running_app("board", files) as app:
        yield app


@pytest.fixture(scope="module")
def address(board: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    tables = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\n'
    front = Foregate(tmp_path_factory.mktemp("gate"), configuration(board.origin, tables=tables))
    try:
        front.wait_serving(2)
        yield front.address("http")
        assert front.metric("foregate_internal_errors_total") == 0
    finally:
        front.close()


class Browser:
    """A user's browser: keeps the session's cookie, opens connections as it needs them."""

    def __init__(self, address: tuple[str, int], user: str) -> None:
        self.address = address
        self.user = user
        self.cookie = ""
        self.written: list[str] = []

    async def ask(self, method: str, path: str, **form: str) -> Answer:
        """Ask on a new connection, which may lead to any worker."""
        client = await PipelinedClient.connect(self.address)
        try:
            content = urlencode(form)
            head = f"{method} {path} HTTP/1.1\r\nHost: board.test\r\n"
            head += f"Cookie: {self.cookie}\r\n" if self.cookie else ""
            if method == "POST":
                head += (
                    f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(content)}\r\n"
                )
            answer = (await client.ask([f"{head}\r\n{content}".encode()]))[0]
        finally:
            client.close()
        _, found, value = answer.head.partition(b"Set-Cookie: ")
        if found:
            self.cookie = value.partition(b";")[0].decode()
        return answer

    async def log_in(self) -> None:
        assert (await self.ask("POST", "/login", user=self.user)).status == 303
        assert self.cookie

    async def post(self, text: str) -> None:
        """Post a note; from here on the user may expect to see it."""
        assert (await self.ask("POST", "/notes", text=text)).status == 303
        self.written.append(text)

    async def check(self, path: str = "/notes") -> str:
        """Look at the notes: they are the user's, and none that was acknowledged before is missing."""
        expected = list(self.written)
        answer = await self.ask("GET", path)
        shown = json.loads(answer.content)
        assert shown["user"] == self.user
        assert shown["notes"][: len(expected)] == expected
        return answer.outcome


async def use(browser: Browser) -> list[str]:
    """Write again and again, while other tabs of the same browser read without a pause."""
    await browser.log_in()
    is_over = asyncio.Event()

    async def read() -> list[str]:
        outcomes = []
        while not is_over.is_set():
            outcomes.append(await browser.check())
        return outcomes

    tabs = [asyncio.create_task(read()) for _ in range(READS)]
    for number in range(WRITES):
        await browser.post(f"{browser.user}:{number}")
        await asyncio.gather(*[browser.check() for _ in range(READS)])
    is_over.set()
    return [outcome for outcomes in await asyncio.gather(*tabs) for outcome in outcomes]


def test_users_see_what_they_have_written_and_nobody_elses_under_load(address: tuple[str, int]) -> None:
    async def everybody() -> list[list[str]]:
        return await asyncio.gather(*[use(Browser(address, f"user{number}")) for number in range(USERS)])

    outcomes = {outcome for seen in asyncio.run(everybody()) for outcome in seen}
    assert {"HIT", "MISS"} <= outcomes


def test_a_fetch_from_before_a_write_is_neither_kept_nor_joined_after_it(
    address: tuple[str, int], board: App
) -> None:
    app = Front("board", board.port)

    async def scene() -> None:
        browser = Browser(address, "holder")
        await browser.log_in()
        before = [asyncio.create_task(browser.check("/held")) for _ in range(6)]
        await asyncio.to_thread(app.ask, "POST", "/holding")  # the app has looked at the notes
        await browser.post("new")
        after = [asyncio.create_task(browser.check("/held")) for _ in range(6)]
        await asyncio.to_thread(
            app.ask, "POST", "/holding"
        )  # who asks after the write has the app look again
        assert not any(task.done() for task in (*before, *after))
        await asyncio.to_thread(app.ask, "POST", "/release")
        await asyncio.gather(*before, *after)
        assert {await browser.check("/held") for _ in range(6)} == {"HIT"}

    asyncio.run(scene())


def test_who_has_logged_out_is_a_stranger_everywhere_at_once(address: tuple[str, int]) -> None:
    async def scene() -> None:
        browser = Browser(address, "leaver")
        stranger = Browser(address, "")
        assert (await stranger.ask("GET", "/")).content == b"hello stranger"
        await browser.log_in()
        for _ in range(4):
            assert (await browser.ask("GET", "/")).content == b"hello leaver"
        await browser.ask("POST", "/logout")
        for _ in range(4):
            assert (await browser.ask("GET", "/")).content == b"hello stranger"

    asyncio.run(scene())
