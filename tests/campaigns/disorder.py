"""Let clients and apps do anything at any moment, thousands of times, and look at the gateway's books each time.

`python -m tests.campaigns.disorder [RUNS] [STEPS] [SEED]`: so many runs each plain, on a clock that jumps, and with the
cache on. Passes when after every run nothing has escaped to the event loop, no connection, tunnel, request or deadline
is left, no object of a request lives on, and every request that was counted was logged once. The suite runs a few
(`tests/wire/test_disorder.py`).
"""

import asyncio
import gc
import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import uvloop

from tests.fakes.disorder import disorder
from tests.fakes.gateway import alive
from tests.fakes.peer import WHOLE
from tests.fakes.playbook import Play
from tests.fakes.warped_loop import WarpedLoop, turns

COLLECT_EVERY: Final = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of running it."""

    name: str
    loop: Callable[[], asyncio.AbstractEventLoop]
    time_passes: bool = False
    cached: bool = False


KINDS: Final = (
    Kind("plain", uvloop.new_event_loop),
    Kind("time jumps", WarpedLoop, time_passes=True),
    Kind("cache on", uvloop.new_event_loop, cached=True),
)


async def _run(kind: Kind, seed: int, steps: int) -> list[str]:
    """Run once; return what was left."""
    async with Play(WHOLE, str(seed), cached=kind.cached) as play:
        await disorder(play, random.Random(seed), time_passes=kind.time_passes, steps=steps)
        left = await play.leftovers()
    await turns(4)
    return left


def campaign(kind: Kind, runs: int, steps: int, first_seed: int) -> list[str]:
    """Run so many times; return what was found wrong, with the seed that shows it again."""
    wrong: list[str] = []
    with asyncio.Runner(loop_factory=kind.loop) as runner:
        for seed in range(first_seed, first_seed + runs):
            try:
                left = runner.run(_run(kind, seed, steps))
            except (AssertionError, OSError, TimeoutError) as error:
                left = [repr(error)]
            if (seed - first_seed) % COLLECT_EVERY == COLLECT_EVERY - 1:
                gc.collect()  # tasks that are cancelled leave cycles behind
                left += [f"{count} {name} alive" for name, count in alive().items()]
            wrong += [f"{kind.name}, seed {seed}: {what}" for what in left]
    return wrong


def main(runs: int = 1000, steps: int = 100, seed: int = 1) -> int:
    """Run all kinds and say what came of it."""
    logging.disable()  # apps fail all the time
    found: list[str] = []
    for number, kind in enumerate(KINDS):
        began = time.monotonic()
        wrong = campaign(kind, runs, steps, seed + 1_000_000 * number)
        print(
            f"{kind.name}: {runs} runs of {steps} steps, {len(wrong)} wrong, {time.monotonic() - began:.0f} s"
        )
        found += wrong
    for line in found:
        print(line)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
