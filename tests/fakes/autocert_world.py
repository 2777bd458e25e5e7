"""What a certificate manager lives in, under a test's control: clock, threads, disk, listener."""

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from autocert.certificate import Certificate
from autocert.clock import SystemClock
from autocert.files import Disk
from autocert.problem import Problem
from autocert.resolver import Addresses, Dns, Resolver

T = TypeVar("T")

# Enough turns of the loop for every chain of awaits between two sleeps.
_TURNS = 60


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, wall: float = 1_800_000_000.0, steady: float = 1000.0) -> None:
        self._wall = wall
        self._steady = steady
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self.boot_id = "boot-1"

    def wall(self) -> float:
        """Return the wall time."""
        return self._wall

    def steady(self) -> float:
        """Return the boot clock's time."""
        return self._steady

    def boot(self) -> str:
        """Return which boot it is."""
        return self.boot_id

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._steady + seconds, self._count, future))
        await future

    def set(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does."""
        self._wall += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking every sleeper at its moment."""
        ends = self._steady + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= ends:
            moment, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._move_to(max(moment, self._steady))
            future.set_result(None)
            await self.settle()
        self._move_to(ends)
        await self.settle()

    def _move_to(self, steady: float) -> None:
        self._wall += steady - self._steady
        self._steady = steady

    @staticmethod
    async def settle() -> None:
        """Let everything run that can run without time passing."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)


class SkippableClock(SystemClock):
    """The machine's clock, with the means to skip waiting: what sleeps past the skipped time wakes at once."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._changed = asyncio.Event()

    def wall(self) -> float:
        """Return the wall time."""
        return super().wall() + self._skipped

    def steady(self) -> float:
        """Return the boot clock's time."""
        return super().steady() + self._skipped

    async def sleep(self, seconds: float) -> None:
        """Wait until that much time has passed or been skipped."""
        ends = self.steady() + seconds
        while (remaining := ends - self.steady()) > 0:
            changed = self._changed
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await changed.wait()

    def skip(self, seconds: float) -> None:
        """Let that much time have passed."""
        self._skipped += seconds
        self._changed.set()
        self._changed = asyncio.Event()


class InlineRunner:
    """Runs blocking calls on the spot."""

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Return what the call returns."""
        await asyncio.sleep(0)
        return call()


class FastDisk(Disk):
    """A disk that needs no forcing."""

    def sync(self, descriptor: int) -> None:
        """Do nothing: no test pulls the plug."""


class NoResolver(Resolver):
    """A name server that never answers, at once."""

    def addresses(self, name: str) -> Addresses:
        """Return nothing."""
        return Addresses((), (), Dns.UNANSWERED, "no answer")


class Recorder:
    """A listener that remembers; `thumbprints` holds the latest of each name."""

    def __init__(self) -> None:
        self.served: dict[str, Certificate] = {}
        self.changes: list[str] = []
        self.problems: list[tuple[str, Problem]] = []
        self.thumbprints: dict[str, str] = {}
        self.pending: set[str] = set()
        self.on_thumbprint: Callable[[str], None] = lambda _thumbprint: None
        self._event = asyncio.Event()

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until something is so, looking after every event."""
        while not predicate():
            self._event.clear()
            await self._event.wait()

    def certificate_available(self, name: str, certificate: Certificate) -> None:
        """Remember the certificate."""
        self.served[name] = certificate
        self.changes.append(name)
        self._event.set()

    async def thumbprint(self, names: tuple[str, ...], thumbprint: str) -> None:
        """Remember the thumbprint."""
        self.thumbprints.update(dict.fromkeys(names, thumbprint))
        self.on_thumbprint(thumbprint)

    def challenge_pending(self, names: tuple[str, ...], pending: bool) -> None:
        """Remember which names are being validated."""
        (self.pending.update if pending else self.pending.difference_update)(names)

    def problem(self, name: str, problem: Problem) -> None:
        """Remember the problem."""
        self.problems.append((name, problem))
        self._event.set()

    def kinds(self, name: str) -> list[str]:
        """Return the kinds of the problems of a name, in order."""
        return [problem.kind.value for of, problem in self.problems if of == name]
