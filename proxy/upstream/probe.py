"""Active health probes, sent by the supervisor alone: GET the health path of every target."""

import asyncio
import os
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable

import h11

from proxy.errors import ForegateError
from proxy.upstream.addresses import HealthReport, TargetKey
from proxy.upstream.trust import verifying_context

TIMEOUT = 5.0  # seconds for a whole probe, from connect to the head of the response
REPEAT = 1.0  # seconds until a probe that disagrees with the verdict is repeated
FALL = 2  # failures in a row that make a target unhealthy
RISE = 2  # successes in a row that make it healthy again
PROBES_AT_ONCE = 32
READ_SIZE = 16_384

_DEFAULT_PORTS = {"http": 80, "https": 443}


class CaFileError(ForegateError):
    """A CA file that cannot be loaded."""


class ProbeState:
    """The verdict on one target and the outcomes that may overturn it."""

    __slots__ = ("_against", "healthy", "key", "reason")

    def __init__(self, key: TargetKey) -> None:
        self.key = key
        self.healthy = True  # until proven otherwise: a proxy that starts must serve at once
        self.reason = ""
        self._against = 0

    def note(self, fault: str) -> bool:
        """Count an outcome ("" or what was wrong); return whether the verdict changes with it."""
        if (not fault) is self.healthy:
            self._against = 0
            self.reason = fault
            return False
        self._against += 1
        if self._against < (FALL if self.healthy else RISE):
            return False
        self.healthy = not self.healthy
        self.reason = fault
        self._against = 0
        return True

    def pause(self, interval: float, share: float) -> float:
        """Return the seconds until the next probe, up to a tenth off `interval` by `share` (0 to 1)."""
        steady = interval * (0.9 + 0.2 * share)
        return min(REPEAT, steady) if self._against else steady

    def report(self) -> HealthReport:
        """Return what is to be told to the workers."""
        return HealthReport(key=self.key, healthy=self.healthy, reason=self.reason)


class HealthClient:
    """Sends single probes; it keeps one TLS context for each CA file."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def probe(self, key: TargetKey) -> str:
        """GET the health path of a target; return "" for a 2xx or 3xx answer, else what was wrong."""
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._ask(key)
        except TimeoutError:
            return f"timed out after {self._timeout:g} s"
        except CaFileError as fault:
            return str(fault)
        except h11.RemoteProtocolError as fault:
            return f"not an HTTP response: {fault}"
        except OSError as fault:
            return in_words(fault)
        return "" if 200 <= status < 400 else f"answered {status}"

    def forget_contexts(self) -> None:
        """Read CA files anew from now on (after a reload)."""
        self._contexts.clear()

    async def _ask(self, key: TargetKey) -> int:
        reader, writer = await self._connect(key)
        try:
            connection = h11.Connection(h11.CLIENT)
            request = connection.send(health_request(key))
            writer.write((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Response):
                    return event.status_code
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(READ_SIZE))
                elif not isinstance(event, h11.InformationalResponse):
                    raise h11.RemoteProtocolError("closed without a response")
        finally:
            writer.transport.abort()

    async def _connect(self, key: TargetKey) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if key.scheme == "unix":
            return await asyncio.open_unix_connection(key.path)
        if key.scheme == "http":
            return await asyncio.open_connection(key.address, key.port)
        return await asyncio.open_connection(
            key.address, key.port, ssl=self._context(key.ca_file), server_hostname=key.server_name or key.host
        )

    def _context(self, ca_file: str) -> ssl.SSLContext:
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = verifying_context(ca_file)
            except OSError as fault:
                raise CaFileError(f"cannot load {ca_file}: {fault.strerror or fault}") from fault
            self._contexts[ca_file] = context
        return context


def in_words(fault: OSError) -> str:
    """Say why there was no exchange as operators say it: asyncio's own words name calls and tuples."""
    match fault:
        case ssl.SSLCertVerificationError():
            return f"TLS: {fault.verify_message}"
        case ssl.SSLError():
            reason = getattr(
                fault, "reason", None
            )  # only those of OpenSSL have one, such as WRONG_VERSION_NUMBER
            return f"TLS: {reason.replace('_', ' ').lower()}" if reason else f"TLS: {fault}"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case _:
            return str(fault) or "the connection failed"


def health_request(key: TargetKey) -> h11.Request:
    """Build the request of a probe; without a configured authority, Host names the upstream itself."""
    if key.check is None:
        raise ValueError(f"nothing to probe at {key}")
    host = f"[{key.host}]" if ":" in key.host else key.host or "localhost"
    port = "" if key.port == _DEFAULT_PORTS.get(key.scheme, 0) else f":{key.port}"
    fields = [
        ("Host", key.check.authority or host + port),
        ("User-Agent", "foregate-health"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    return h11.Request(method="GET", target=key.check.path, headers=fields)


class Prober:
    """Probes every target that it is given for as long as `run` runs, and tells changes of verdict only."""

    def __init__(
        self,
        on_report: Callable[[HealthReport], None],
        *,
        probe: Callable[[TargetKey], Awaitable[str]],
        share: Callable[[], float] = random.random,
    ) -> None:
        """Build a prober; `probe` returns "" or what was wrong, `share` spreads the probes (0 to 1)."""
        self._on_report = on_report
        self._probe = probe
        self._share = share
        self._states: dict[TargetKey, ProbeState] = {}
        self._tasks: dict[ProbeState, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(PROBES_AT_ONCE)
        self._stirred = asyncio.Event()

    def update(self, keys: Iterable[TargetKey]) -> None:
        """Set the targets to probe; the verdict on those that stay stands."""
        wanted = {key for key in keys if key.check is not None}
        for key in self._states.keys() - wanted:
            if not self._states.pop(key).healthy:
                self._on_report(HealthReport(key=key, healthy=True, reason="no longer probed"))
        for key in wanted - self._states.keys():
            self._states[key] = ProbeState(key)
        self._stirred.set()

    def snapshot(self) -> tuple[HealthReport, ...]:
        """Return the verdict on every target, for the status page and for a worker that starts."""
        return tuple(state.report() for state in self._states.values())

    async def run(self) -> None:
        """Probe until cancelled."""
        try:
            while True:
                self._stirred.clear()
                states = set(self._states.values())
                for state in self._tasks.keys() - states:
                    self._tasks.pop(state).cancel()
                for state in states - self._tasks.keys():
                    self._tasks[state] = asyncio.create_task(self._watch(state))
                await self._stirred.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    async def _watch(self, state: ProbeState) -> None:
        """Probe one target until cancelled."""
        check = state.key.check
        interval = check.interval if check else REPEAT
        await asyncio.sleep(min(interval, REPEAT) * self._share())
        while True:
            async with self._places:
                fault = await self._outcome(state.key)
            if state.note(fault) and self._states.get(state.key) is state:
                self._on_report(state.report())
            await asyncio.sleep(state.pause(interval, self._share()))

    async def _outcome(self, key: TargetKey) -> str:
        try:
            return await self._probe(key)
        except Exception as fault:  # a task's root: a fault of ours must not end the probing
            return f"the probe failed: {fault!r}"
