"""`foregate upgrade`: another program takes this one's place in the same process, after a trial."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from proxy import __version__
from proxy.supervisor import kernel
from proxy.supervisor.certificate_problems import CertificateProblems
from proxy.supervisor.errors import StartError
from proxy.supervisor.handover import HANDOVER, TRIAL, Handover, HeldSocket, HeldWorker, write
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.processes import Children, Exit
from proxy.supervisor.reloading import Reloader
from proxy.supervisor.shared_regions import SharedRegions
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import ConfigFile
from proxy.supervisor.worker_process import ExitReason, WorkerProcess
from proxy.telemetry import process_log
from proxy.telemetry.totals import CounterLedger

_log = process_log.logger("supervisor")

_PATIENCE: Final = 60.0  # seconds
_LONGEST_REASON: Final = 2000
#: Signals that wait until the new program takes them; their default would end it.
HELD_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


def own_command() -> tuple[str, ...]:
    """Return how this very program was started; what is installed there now may be another version."""
    return (sys.executable, *sys.orig_argv[1:])


async def trial(children: Children, handover: Handover, command: Sequence[str]) -> str:
    """Let the new program try itself out; return "", or why it cannot take over."""
    document, errors = write(handover), os.memfd_create("foregate-trial", os.MFD_CLOEXEC)
    # Nothing else: whoever had the listening sockets and the workers' channels, too, would keep both alive if we are
    # killed. A descriptor that is copied onto itself stays open over exec.
    places = [(os.POSIX_SPAWN_DUP2, one, one) for one in (document, errors)]
    places += [(os.POSIX_SPAWN_DUP2, errors, 2), (os.POSIX_SPAWN_DUP2, errors, 1)]
    ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    environment = {**os.environ, TRIAL: str(document)}
    try:
        pid = children.spawn(tuple(command), environment, places, ended.set_result)
        try:
            outcome = await asyncio.wait_for(asyncio.shield(ended), _PATIENCE)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            return f"the trial start did not end within {_PATIENCE:.0f} s"
        if outcome.status == 0:
            return ""
        said = os.pread(errors, os.fstat(errors).st_size, 0).decode(errors="replace").strip()
        return said[-_LONGEST_REASON:] or f"the trial start ended with {outcome}"
    except StartError as exc:
        return str(exc)
    finally:
        os.close(document)
        os.close(errors)


def execute(handover: Handover, command: Sequence[str]) -> None:
    """Run the new program in this process. Raises OSError when that is impossible; nothing has changed then."""
    document = write(handover)
    inherited = (document, *handover.descriptors)
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
    try:
        for one in inherited:
            os.set_inheritable(one, True)
        if os.geteuid() != 0:
            kernel.pass_capability_on(kernel.CAP_NET_BIND_SERVICE)
        os.execve(command[0], list(command), {**os.environ, HANDOVER: str(document)})  # noqa: S606 (ourselves)
    except OSError:
        for one in inherited:
            os.set_inheritable(one, False)
        os.close(document)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a program leaves behind, and what its successor fills with that."""

    children: Children
    file: ConfigFile
    in_use: InUse
    regions: SharedRegions
    ledger: CounterLedger
    pool: WorkerPool
    reloader: Reloader
    problems: CertificateProblems


class Succession:
    """Take over from the program before, and hand over to the next one."""

    def __init__(self, parts: Parts, held: Handover | None) -> None:
        """Go on with what was counted; `adopt` takes the workers over."""
        self._parts = parts
        self._held = held
        self._lock = asyncio.Lock()
        self.started = held.started if held else time.time()
        self.upgrades = held.upgrades + 1 if held else 0
        if held:
            parts.reloader.results.update({True: held.reloads["accepted"], False: held.reloads["refused"]})
            parts.pool.exits.update({ExitReason(name): count for name, count in held.worker_exits.items()})
            parts.pool.ended_cpu_seconds = held.ended_cpu_seconds
            parts.problems.failures.update({(name, why): n for name, why, n in held.certificate_failures})

    def adopt(self) -> None:
        """Let the former program's workers serve until there are others."""
        if self._held is None:
            return
        for worker in self._held.workers:
            row = worker.row if self._parts.regions.keeps_rows else self._parts.regions.enter()
            self._parts.pool.adopt(replace(worker, row=row))
        asyncio.get_running_loop().call_soon(self._parts.children.reap)  # who ended in between
        fields = process_log.fields(
            upgrades=self.upgrades,
            before=self._held.version,
            now=__version__,
            workers=len(self._held.workers),
        )
        _log.info("upgraded", extra=fields)

    async def try_out(self) -> str:
        """Let the next program try itself out; return "", or why it cannot take over."""
        if self._lock.locked():
            return "another upgrade is under way"
        async with self._lock:
            fault = await trial(self._parts.children, self._describe(), own_command())
        if fault:
            _log.error("upgrade refused", extra=process_log.fields(fault=fault))
        return fault

    async def execute(self) -> None:
        """Run the next program, between two reloads. Raises OSError when that is impossible."""
        async with self._parts.reloader.lock:
            execute(self._describe(), own_command())

    def _describe(self) -> Handover:
        parts = self._parts
        results = parts.reloader.results
        return Handover(
            version=__version__,
            source=parts.file.text(),
            started=self.started,
            generation=parts.in_use.generation,
            upgrades=self.upgrades,
            secret=parts.regions.secret.hex(),
            memory=dict(parts.regions.descriptors),
            cache_size=parts.regions.cache.size,
            sockets=tuple(
                HeldSocket(
                    purpose=one.endpoint.purpose.value,
                    endpoint=str(one.endpoint),
                    descriptor=one.socket.fileno(),
                    lent=one.lent,
                )
                for one in parts.in_use.listeners.values()
            ),
            workers=tuple(_held(worker) for worker in (*parts.pool.workers, *parts.pool.lingering)),
            ledger=parts.ledger.state(),
            reloads={"accepted": results[True], "refused": results[False]},
            worker_exits={reason.value: count for reason, count in parts.pool.exits.items()},
            ended_cpu_seconds=parts.pool.ended_cpu_seconds,
            certificate_failures=tuple((*key, count) for key, count in parts.problems.failures.items()),
        )


def _held(worker: WorkerProcess) -> HeldWorker:
    return HeldWorker(
        slot=worker.slot,
        row=worker.row,
        pid=worker.pid,
        started=worker.started,
        channel=worker.channel_descriptor,
        region=worker.region.descriptor,
    )


def handed_over(environ: MutableMapping[str, str], name: str) -> int | None:
    """Take the number of a document's descriptor out of the environment, where children must not find it."""
    number = environ.pop(name, "")
    return int(number) if number.isdecimal() else None
