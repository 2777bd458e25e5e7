"""Transcripts run on the loop that workers run on; those about deadlines on one whose clock can be put forward.

Neither clock goes by itself: what a busy machine takes is nobody's deadline.
"""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.fakes.gateway import alive
from tests.fakes.peer import WHOLE
from tests.fakes.playbook import CACHED, CUTS, Play
from tests.fakes.standing_loop import StandingLoop
from tests.fakes.warped_loop import WarpedLoop, turns

PATIENCE = 120  # seconds, for whatever a peer waits for


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Choose by what a transcript asks for."""
    if "warped" in getattr(item, "fixturenames", ()):
        return {"warped": WarpedLoop}
    return {"uvloop": StandingLoop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no transcript hang for long."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture(scope="module")
def _collector_at_rest() -> Iterator[None]:
    """Set everything aside that is there already, so that what a transcript leaves behind is found quickly.

    What other modules left to the collector is not for a transcript to answer for.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def _no_collector(_collector_at_rest: None) -> Iterator[None]:
    """Keep the garbage collector from tidying up what must go by itself."""
    yield
    gc.collect()


async def _run(cut: str, seed: str, *, cached: bool = False) -> AsyncIterator[Play]:
    """Run a transcript, and see that nothing of it is left in the gateway."""
    async with Play(cut, seed, cached=cached) as play:
        yield play
        assert await play.leftovers() == []
    if cut == WHOLE:
        await turns(4)  # transports let go of their protocols in the turn after
        if play.leaves_cycles:
            gc.collect()
        assert alive() == {}


@pytest.fixture(params=(*CUTS, CACHED))
async def play(request: pytest.FixtureRequest, _no_collector: None) -> AsyncIterator[Play]:
    """Run the transcript in each way of cutting what is sent, and with the cache on."""
    cached = request.param == CACHED
    async for one in _run(WHOLE if cached else request.param, request.node.name, cached=cached):
        yield one


@pytest.fixture
async def whole(request: pytest.FixtureRequest, _no_collector: None) -> AsyncIterator[Play]:
    """Run the transcript once, with messages in one piece: it is about much content, or many messages."""
    async for one in _run(WHOLE, request.node.name):
        yield one


@pytest.fixture
async def warped(request: pytest.FixtureRequest, _no_collector: None) -> AsyncIterator[Play]:
    """Run the transcript once, on a clock that can be put forward with pass_time()."""
    async for one in _run(WHOLE, request.node.name):
        yield one


@pytest.fixture
async def cached(request: pytest.FixtureRequest, _no_collector: None) -> AsyncIterator[Play]:
    """Run the transcript once, with the cache on."""
    async for one in _run(WHOLE, request.node.name, cached=True):
        yield one
