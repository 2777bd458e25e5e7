"""Another size of the cache while it serves: all workers move together, and nothing that was voided comes back."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import pytest

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse

StartForegate = Callable[..., Foregate]
TABLES = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\nsize = "64MB"\nobject_size = "1MB"\n'
MEGABYTE = 1024 * 1024


class Page:
    """A page whose version each POST raises."""

    def __init__(self) -> None:
        self.version = 0

    def answer(self, request: OriginRequest) -> OriginResponse:
        self.version += request.method == "POST"
        return OriginResponse(content=str(self.version).encode())


@pytest.fixture
def page(origin: Origin) -> Page:
    page = Page()
    origin.answer = page.answer
    return page


@pytest.fixture
def front(origin: Origin, page: Page, start_foregate: StartForegate) -> Foregate:
    instance = start_foregate(configuration(origin.url, tables=TABLES))
    instance.wait_serving(2)
    return instance


def resize(front: Foregate, size: str) -> list[str]:
    """Reload with another size; return what changed."""
    text = front.file.read_text()
    before = text.partition('\nsize = "')[2].partition('"')[0]
    front.file.write_text(text.replace(f'\nsize = "{before}"', f'\nsize = "{size}"'))
    status, document = front.admin("POST", "/api/v1/reload")
    assert status == 200, document
    changes: list[str] = document["changes"]
    return changes


def descriptors(pid: int) -> int:
    """Count those of shared memory and its locks."""
    links = (link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    return sum(str(link).startswith("/memfd:foregate") for link in links)


def memory_of(pid: int) -> list[str]:
    """Return the sizes of the cache's memory that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [line.split()[0] for line in lines if "foregate-cache" in line]


def test_the_size_follows_a_reload_and_answers_are_kept_there(front: Foregate, page: Page) -> None:
    assert front.get("/page") == (200, b"0")
    before = [descriptors(pid) for pid in (front.process.pid, *front.worker_pids())]
    assert resize(front, "32MB") == ['cache.size: "64MB" -> "32MB"']
    assert front.admin("GET", "/api/v1/cache")[1]["size_bytes"] == 32 * MEGABYTE
    page.version = 7
    assert {front.get("/page") for _ in range(8)} == {(200, b"7")}
    page.version = 8
    assert {front.get("/page") for _ in range(8)} == {(200, b"7")}
    for size in ("16MB", "128MB", "64MB"):
        resize(front, size)
    processes = (front.process.pid, *front.worker_pids())
    assert [len(memory_of(pid)) for pid in processes] == [1, 1, 1]
    assert [descriptors(pid) for pid in processes] == before
    assert front.metric("foregate_worker_exits_total", reason="crashed") == 0


def test_a_worker_that_starts_later_has_the_new_memory(front: Foregate, page: Page) -> None:
    resize(front, "32MB")
    front.get("/page")
    page.version = 9
    (first, second) = front.worker_pids()
    os.kill(first, signal.SIGTERM)  # a crash would void what is kept
    front.wait_serving(3)
    os.kill(second, signal.SIGTERM)
    front.wait_serving(4)
    assert front.get("/page") == (200, b"0")
    assert front.command("purge").returncode == 0
    assert front.get("/page") == (200, b"9")


def write_and_read(front: Foregate, page: Page, rounds: Iterator[int]) -> None:
    """Write, then read over both workers what was written."""
    connections = [HTTPConnection(*front.address("http"), timeout=PATIENCE) for _ in range(6)]
    try:
        for number in rounds:
            writer = connections[number % 6]
            writer.request("POST", "/page")
            written = int(writer.getresponse().read())
            for reader in connections:
                reader.request("GET", "/page")
                assert int(reader.getresponse().read()) == written
    finally:
        for connection in connections:
            connection.close()


def test_own_writes_are_seen_in_every_worker_while_it_moves(front: Foregate, page: Page) -> None:
    over = threading.Event()

    def move() -> int:
        moves = 0
        while not over.is_set() or moves < 10:
            assert resize(front, ("8MB", "64MB")[moves % 2])
            moves += 1
        return moves

    with ThreadPoolExecutor() as threads:
        moving = threads.submit(move)

        def rounds() -> Iterator[int]:
            for number in count():
                if number > 5:
                    over.set()
                    if moving.done():
                        return
                yield number

        try:
            write_and_read(front, page, rounds())
        finally:
            over.set()
        assert moving.result() >= 10
