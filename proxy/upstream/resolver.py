"""Keep the addresses of upstream names up to date: asked for again and again, in the supervisor alone.

Theory of operation. Each name has a `NameState`, pure and with time as an argument, that says when to ask
and what an answer changes. The resolver starts a daemon thread for each lookup, because `getaddrinfo`
cannot be interrupted and may block for half a minute when the name server is dead. At most one thread a
name, whatever happens; and at most LOOKUPS_AT_ONCE of them count as busy: a lookup past its deadline gives
up its place (so slow names never block others), although its answer is still welcome when it comes. Nothing
waits for these threads, shutdown least of all.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from proxy.errors import ForegateError
from proxy.upstream.addresses import UpstreamAddresses, interleave, literal_addresses

LOOKUPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often names are asked for, in seconds.

    A container that came back with another address is to be found within 10 s, even if each lookup takes
    its whole deadline.
    """

    again: float = 4.0
    unresolved: float = 1.0  # while a name has no address at all: its app is being started
    deadline: float = 5.0
    forget: float = 10.0  # how long "no such name" must stand until the last good addresses are given up


class ResolveError(ForegateError):
    """A name that could not be resolved; the text says why."""


class NoSuchNameError(ResolveError):
    """The name server's answer that there is no such name, or no address for it."""


TIMED_OUT = "no answer from the name server in time"


def system_lookup(name: str) -> tuple[str, ...]:
    """Ask the operating system for the addresses of a name (blocking).

    Raises NoSuchNameError, or ResolveError when there was no usable answer.
    """
    try:
        try:
            # Without an IPv6 address of our own, AAAA records lead nowhere.
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except socket.gaierror as fault:
            if fault.errno == socket.EAI_AGAIN:
                raise
            # With nothing but a loopback interface, AI_ADDRCONFIG hides even /etc/hosts.
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as fault:
        if fault.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise NoSuchNameError("no such name") from fault
        raise ResolveError(f"the name server failed: {fault.strerror}") from fault
    except (OSError, UnicodeError) as fault:
        raise ResolveError(f"the lookup failed: {fault}") from fault
    return interleave(str(entry[4][0]) for entry in found)


class NameState:
    """What is known about one name, and when to ask for it again."""

    __slots__ = (
        "_missing_since",
        "_pace",
        "_started_at",
        "addresses",
        "fault",
        "late",
        "name",
        "next_at",
        "wanted",
    )

    def __init__(self, name: str, pace: Pace, now: float) -> None:
        self.name = name
        self.addresses: tuple[str, ...] = ()
        self.fault = ""
        self.next_at = now
        self.late = False
        self.wanted = True
        self._pace = pace
        self._started_at: float | None = None
        self._missing_since: float | None = None

    @property
    def running(self) -> bool:
        """Whether a lookup is under way."""
        return self._started_at is not None

    def due(self, now: float) -> bool:
        """Whether it is time for a lookup."""
        return self._started_at is None and self.next_at <= now

    def wake_at(self) -> float:
        """Return when to look at this name again: a lookup's deadline, or its start (inf: unknown)."""
        if self._started_at is None:
            return self.next_at
        return float("inf") if self.late else self._started_at + self._pace.deadline

    def start(self, now: float) -> None:
        """Note that a lookup begins."""
        self._started_at = now
        self.late = False

    def expire(self, now: float) -> bool:
        """Mark a lookup that has passed its deadline; return whether that changes what is to be told."""
        if self._started_at is None or self.late or now < self._started_at + self._pace.deadline:
            return False
        self.late = True
        return self._tell(self.addresses, TIMED_OUT)

    def answered(self, now: float, outcome: tuple[str, ...] | ResolveError) -> bool:
        """Take over a lookup's outcome; return whether that changes what is to be told."""
        started = now if self._started_at is None else self._started_at
        self._started_at = None
        self.late = False
        if not isinstance(outcome, ResolveError) and outcome:
            self._missing_since = None
            changed = self._tell(outcome, "")
        elif isinstance(outcome, NoSuchNameError) or not outcome:
            self._missing_since = now if self._missing_since is None else self._missing_since
            gone = now - self._missing_since >= self._pace.forget
            changed = self._tell(() if gone else self.addresses, str(outcome) if outcome else "no such name")
        else:
            self._missing_since = None
            changed = self._tell(self.addresses, str(outcome))
        pause = self._pace.again if self.addresses else self._pace.unresolved
        self.next_at = max(started + pause, now)
        return changed

    def message(self) -> UpstreamAddresses:
        """Return what is to be told to the workers."""
        return UpstreamAddresses(name=self.name, addresses=self.addresses, fault=self.fault)

    def _tell(self, addresses: tuple[str, ...], fault: str) -> bool:
        changed = (addresses, fault) != (self.addresses, self.fault)
        self.addresses, self.fault = addresses, fault
        return changed


class Resolver:
    """Looks upstream names up for as long as `run` runs, and tells changes only."""

    def __init__(
        self,
        on_change: Callable[[UpstreamAddresses], None],
        *,
        lookup: Callable[[str], tuple[str, ...]] = system_lookup,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build a resolver; `lookup` blocks and raises ResolveError, `on_change` runs in the event loop."""
        self._on_change = on_change
        self._lookup = lookup
        self._pace = pace or Pace()
        self._clock = clock
        self._names: dict[str, NameState] = {}
        self._stirred = asyncio.Event()

    def update(self, names: Iterable[str]) -> None:
        """Set the names to keep up to date; those that `literal_addresses` knows are skipped."""
        wanted = {name for name in names if name and literal_addresses(name) is None}
        for name, state in list(self._names.items()):
            state.wanted = name in wanted
            if not state.wanted and not state.running:
                del self._names[name]
        for name in sorted(wanted - self._names.keys()):
            self._names[name] = NameState(name, self._pace, self._clock())
        self._stirred.set()

    def snapshot(self) -> tuple[UpstreamAddresses, ...]:
        """Return what is known about every name, for a worker that starts."""
        return tuple(state.message() for state in self._names.values() if state.wanted)

    async def run(self) -> None:
        """Look names up until cancelled."""
        while True:
            self._stirred.clear()
            now = self._clock()
            wake_at = self._advance(now)
            pause = None if wake_at == float("inf") else wake_at - now
            try:
                async with asyncio.timeout(pause):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    def _advance(self, now: float) -> float:
        """Do what is due and return when to come back; an event (`_stirred`) may ask for it sooner."""
        for state in self._names.values():
            if state.expire(now) and state.wanted:
                self._on_change(state.message())
        places = LOOKUPS_AT_ONCE - sum(state.running and not state.late for state in self._names.values())
        due = sorted((s for s in self._names.values() if s.wanted and s.due(now)), key=lambda s: s.next_at)
        for state in due[: max(places, 0)]:
            self._start(state, now)
        # A name that is due but found no place comes up when a lookup ends or is late.
        return min((s.wake_at() for s in self._names.values() if not s.due(now)), default=float("inf"))

    def _start(self, state: NameState, now: float) -> None:
        state.start(now)
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=self._ask, args=(loop, state.name), name=f"lookup {state.name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as fault:
            loop.call_soon(self._finished, state.name, ResolveError(f"the lookup failed: {fault}"))

    def _ask(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        """Look one name up, in a thread of its own."""
        outcome: tuple[str, ...] | ResolveError
        try:
            outcome = self._lookup(name)
        except ResolveError as fault:
            outcome = fault
        except Exception as fault:
            # The thread's root: without an outcome the name would never be asked for again.
            outcome = ResolveError(f"the lookup failed: {fault!r}")
        try:
            loop.call_soon_threadsafe(self._finished, name, outcome)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits for the answer

    def _finished(self, name: str, outcome: tuple[str, ...] | ResolveError) -> None:
        state = self._names[name]
        changed = state.answered(self._clock(), outcome)
        if not state.wanted:
            del self._names[name]
        elif changed:
            self._on_change(state.message())
        self._stirred.set()
