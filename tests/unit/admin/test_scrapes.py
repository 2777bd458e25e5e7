"""One rendering serves all who ask while it runs."""

import asyncio

import pytest

from proxy.admin.scrapes import Scrapes
from tests.fakes.operations import FakeOperations


async def test_those_who_ask_together_share_one() -> None:
    operations = FakeOperations()
    scrapes = Scrapes(operations.metrics)
    answers = await asyncio.gather(*(scrapes.get("text") for _ in range(5)))
    assert len(set(answers)) == 1
    assert operations.scrapes == 1
    await scrapes.get("text")
    assert operations.scrapes == 2


async def test_another_format_is_another_rendering() -> None:
    operations = FakeOperations()
    scrapes = Scrapes(operations.metrics)
    one, other = await asyncio.gather(scrapes.get("text"), scrapes.get("openmetrics"))
    assert one != other


async def test_whoever_gives_up_leaves_the_others_theirs() -> None:
    scrapes = Scrapes(FakeOperations().metrics)
    first, second = (asyncio.create_task(scrapes.get("text")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0] == b"accept text\n"


async def test_a_fault_is_everybodys_and_over_with_them() -> None:
    async def fails(_accept: str) -> tuple[bytes, str]:
        raise RuntimeError("no memory")

    scrapes = Scrapes(fails)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await scrapes.get("text")
