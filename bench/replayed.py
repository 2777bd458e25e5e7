"""The process in which a scenario is replayed, at the command of bench.instructions.

It reads commands from standard input, one a line, and ends each answer with a line "done":

    prepare N    write N requests for the next run
    run          let them arrive
    time N R     let N requests arrive R times; tells the CPU time of each time, in microseconds per request
    profile N    let N requests arrive under cProfile; tells its table
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bench.processes import working_folder
from bench.replay import Worker
from bench.scenarios import FUNCTIONS, Function, Scenario, Traffic, scenario_named

PROFILE_LINES = 45


class Subject(Protocol):
    """What can be replayed."""

    def prepare(self, count: int, /) -> Sequence[Any]:
        """Make everything beforehand that shall not be measured."""
        ...

    async def run(self, work: Any, /) -> None:
        """Do what is measured."""
        ...


class Replay:
    """One scenario in a worker."""

    def __init__(self, worker: Worker, subject: Subject) -> None:
        self._worker = worker
        self._subject = subject
        self._work: Sequence[Any] = ()

    def prepare(self, count: str) -> None:
        """Write the requests of the next run."""
        self._work = self._subject.prepare(int(count))
        gc.collect()

    def run(self) -> None:
        """Let the prepared requests arrive."""
        self._worker.run(self._subject.run(self._work))

    def time(self, count: str, runs: str) -> None:
        """Print CPU time per request, in microseconds, of each of so many runs."""
        found = []
        for _ in range(int(runs)):
            self.prepare(count)
            before = time.process_time()
            self.run()
            found.append((time.process_time() - before) / int(count) * 1e6)
        print(*(f"{figure:.3f}" for figure in found))

    def profile(self, count: str) -> None:
        """Print where the time goes, by function."""
        self.prepare(count)
        profile = cProfile.Profile()
        profile.enable()
        self.run()
        profile.disable()
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(PROFILE_LINES)

    def obey(self) -> None:
        """Carry out commands until there are no more."""
        commands: dict[str, Callable[..., None]] = {
            "prepare": self.prepare,
            "run": self.run,
            "time": self.time,
            "profile": self.profile,
        }
        print("done", flush=True)
        for line in sys.stdin:
            name, *arguments = line.split()
            commands[name](*arguments)
            print("done", flush=True)


def main(name: str) -> None:
    """Replay one scenario or function."""
    function = Function(name) if name in FUNCTIONS else None
    scenario = scenario_named(name) if function is None else Scenario(name=name, about="")
    with working_folder() as folder, Worker(folder, scenario.site, workers=scenario.workers) as worker:
        subject = function or Traffic(worker, scenario)
        worker.run(subject.start())
        Replay(worker, subject).obey()


if __name__ == "__main__":
    main(sys.argv[1])
