"""The workers: as many as wanted, each one replaced when it ends or stops answering."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from proxy.control.channel import PackedCommand
from proxy.control.messages import Command, MostLimited, ReopenLogs
from proxy.supervisor.errors import StartError
from proxy.supervisor.handover import HeldWorker
from proxy.supervisor.heartbeat import RunningTime
from proxy.supervisor.listeners import Listener
from proxy.supervisor.processes import Children, Exit
from proxy.supervisor.restarts import RestartPolicy
from proxy.supervisor.worker_process import (
    Briefing,
    CertificateReport,
    ExitReason,
    WorkerProcess,
    WorkerState,
)
from proxy.supervisor.worker_register import WorkerRegister
from proxy.telemetry import process_log
from proxy.telemetry.totals import CounterLedger

_log = process_log.logger("supervisor")

DRAIN_GRACE = 2.0  # seconds that a worker gets beyond its time for draining
SUCCESSION = 30.0  # seconds after an upgrade in which the former workers wait for all the new ones to serve
STARTS_AT_ONCE = 16  # with hundreds at once none would be ready soon, and no signal be heard meanwhile
LEAVING_TIME = 8.0  # seconds for a worker to drain that leaves of its own


class WorkerPool:
    """Keep the slots filled.

    Each slot holds at most one worker. One that is drained leaves its slot at once and lingers beside.
    """

    def __init__(
        self,
        children: Children,
        ledger: CounterLedger,
        command: tuple[str, ...],
        briefing: Callable[[], Briefing],
        on_hopeless: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        on_certificate: Callable[[WorkerProcess, CertificateReport], None] = lambda *_: None,
        on_limited: Callable[[WorkerProcess, MostLimited], None] = lambda *_: None,
        *,
        register: WorkerRegister,
    ) -> None:
        """Start with no worker; `on_hopeless` is told why no worker ever gets ready."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._children = children
        self._ledger = ledger
        self._command = command
        self._briefing = briefing
        self._on_hopeless = on_hopeless
        self._on_certificate = on_certificate
        self._on_limited = on_limited
        self._register = register
        self._time = RunningTime(clock())
        self._policy = RestartPolicy()
        self._wanted, self._linger = 0, 0.0
        self._slots: dict[int, WorkerProcess] = {}
        self._lingering: list[WorkerProcess] = []
        self._predecessors: list[WorkerProcess] = []  # another program's, which serve until ours do
        self._delayed: dict[int, asyncio.TimerHandle] = {}
        self._empty, self._first_ready = asyncio.Event(), asyncio.Event()
        self.exits: Counter[ExitReason] = Counter()
        self.ended_cpu_seconds = 0.0

    @property
    def workers(self) -> list[WorkerProcess]:
        """List the workers that hold a slot, by slot."""
        return [self._slots[slot] for slot in sorted(self._slots)]

    @property
    def lingering(self) -> list[WorkerProcess]:
        """List the workers that finish what they have, or are about to."""
        return [*self._predecessors, *self._lingering]

    @property
    def has_predecessors(self) -> bool:
        """Tell whether workers of the program before this one still accept connections."""
        return bool(self._predecessors)

    @property
    def serving(self) -> int:
        """Count the workers that accept connections."""
        holders = (*self._slots.values(), *self._predecessors)
        return sum(worker.state is WorkerState.SERVING for worker in holders)

    def states(self) -> Mapping[WorkerState, int]:
        """Count all workers by state."""
        states = [worker.state for worker in (*self._slots.values(), *self.lingering)]
        return {state: states.count(state) for state in WorkerState}

    def resize(self, wanted: int, linger: float) -> None:
        """Fill the slots below `wanted`; workers above finish within `linger` seconds."""
        self._wanted, self._linger = wanted, linger
        for slot in [slot for slot in self._delayed if slot >= wanted]:
            self._delayed.pop(slot).cancel()
        for slot in [slot for slot in self._slots if slot >= wanted]:
            self._retire(self._slots.pop(slot), linger)
        self._fill()

    def adopt(self, held: HeldWorker) -> None:
        """Take over a worker of the program before this one, which serves until the slots are filled.

        Raises SharedMemoryError for counters that this program does not understand.
        """
        worker = WorkerProcess(held.slot, held.row, self._ledger.adopt(held.region), self._time.now, self)
        worker.started = held.started
        worker.adopt(self._loop, self._children, held.pid, held.channel)
        self._predecessors.append(worker)

    def broadcast(self, command: Command | PackedCommand) -> None:
        """Tell every worker that holds a slot."""
        for worker in self._slots.values():
            worker.send(command)

    def reopen_logs(self) -> None:
        """Let all workers open their log files anew, those too that only finish what they have."""
        for worker in (*self._slots.values(), *self.lingering):
            worker.send(ReopenLogs())

    def tell(self, command: Command | PackedCommand) -> None:
        """Tell every worker that holds a slot, after all else that it was told so."""
        for worker in self._slots.values():
            worker.tell(command)

    async def sync(self, patience: float) -> None:
        """Return when every worker that holds a slot has done what it was told, or after `patience` seconds."""
        if done := [worker.sync() for worker in self._slots.values()]:
            await asyncio.wait(done, timeout=patience)

    async def carry_out(self, command: Command, descriptors: Sequence[int], patience: float) -> None:
        """Let every worker that runs this program do something, even one that drains, and wait for all of them.

        One that does not do it within `patience` seconds is killed.
        """
        workers = [worker for worker in (*self._slots.values(), *self._lingering) if not worker.is_adopted]
        for worker in workers:
            worker.send(command, descriptors)
        doing = {worker.sync(): worker for worker in workers}
        _, late = await asyncio.wait(doing, timeout=patience) if doing else ((), ())
        for one in late:
            doing[one].kill(ExitReason.UNRESPONSIVE)

    def listen(self, listener: Listener) -> None:
        """Let every worker that holds a slot accept on a socket."""
        for worker in self._slots.values():
            worker.listen(listener)

    async def apply(self, generation: int, configure: PackedCommand, patience: float) -> str:
        """Send a snapshot to all; return "" when it is in use, or why a worker refused it.

        A worker that does not answer within `patience` seconds is left to its heartbeat.
        """
        answers = [worker.apply(generation, configure) for worker in self._slots.values()]
        done, _ = await asyncio.wait(answers, timeout=patience) if answers else ((), ())
        return next((answer.result() for answer in done if answer.result()), "")

    async def drain(self, seconds: float) -> None:
        """Let all workers finish within `seconds`, and wait until the last one is gone."""
        for worker in self._lingering:
            worker.drain(seconds, DRAIN_GRACE)
        self._retire_predecessors(seconds)
        self.resize(0, seconds)
        if self._lingering:
            self._empty.clear()
            await self._empty.wait()

    def hurry(self) -> None:
        """Let the workers that drain finish at once; one that was not ready yet has nothing to finish."""
        for worker in self._lingering:
            worker.drain(0.0, DRAIN_GRACE)
            if worker.ready_at is None:
                worker.kill()

    async def wait_ready(self) -> None:
        """Wait until the first worker accepts connections."""
        await self._first_ready.wait()

    def tick(self) -> None:
        """Judge all workers' signs of life; call it every INTERVAL seconds."""
        now = self._time.tick(self._clock())
        if self._predecessors and now > SUCCESSION:
            self._retire_predecessors(self._linger)
        for worker in [*self._slots.values(), *self.lingering]:
            if not worker.tick(now):
                reason = worker.ending.value if worker.ending else "gone"
                _log.error("killed a worker", extra=_named(worker, reason=reason))

    def worker_ready(self, worker: WorkerProcess) -> None:
        """Take note that a worker accepts connections."""
        self._policy.ready()
        self._first_ready.set()
        _log.info("worker serves", extra=_named(worker))
        if len(self._slots) >= self._wanted and not self.states()[WorkerState.STARTING]:
            self._retire_predecessors(self._linger)
        self._fill()

    def worker_leaving(self, worker: WorkerProcess) -> None:
        """Replace a worker that somebody else told to stop by a signal, or that gets no more memory."""
        if worker in self._predecessors:
            self._predecessors.remove(worker)
            self._retire(worker, LEAVING_TIME)
            return
        _log.warning("worker leaves and is replaced", extra=_named(worker))
        del self._slots[worker.slot]
        self._retire(worker, LEAVING_TIME)
        self._replace(worker.slot, self._time.now, "it left")

    def worker_faulty(self, worker: WorkerProcess, fault: str) -> None:
        """Say that a worker does what no worker does, which somebody may have made it do."""
        _log.error("worker broke the rules and is killed", extra=_named(worker, fault=fault))

    def worker_asks(self, worker: WorkerProcess, report: CertificateReport) -> None:
        """Pass its question or complaint about a certificate on."""
        self._on_certificate(worker, report)

    def worker_limited(self, worker: WorkerProcess, report: MostLimited) -> None:
        """Pass on whom it limits."""
        self._on_limited(worker, report)

    def worker_exited(self, worker: WorkerProcess, ended: Exit) -> None:
        """Keep what an ended worker counted, and replace it unless it was to end."""
        self._ledger.retire(worker.region)
        self.ended_cpu_seconds += ended.cpu_seconds
        reason = worker.ending or (ExitReason.NOT_READY if worker.ready_at is None else ExitReason.CRASHED)
        self.exits[reason] += 1
        self._register.leave(worker.row, in_order=worker.ready_at is None or reason is ExitReason.DRAINED)
        if worker in self._lingering:
            self._lingering.remove(worker)
            _log.info("worker has drained", extra=_named(worker, ended=str(ended)))
            if not self._lingering:
                self._empty.set()
            return
        _log.error("worker ended", extra=_named(worker, ended=str(ended), reason=reason.value))
        if worker in self._predecessors:
            self._predecessors.remove(worker)
            return
        del self._slots[worker.slot]
        served = None if worker.ready_at is None else self._time.now - worker.ready_at
        self._replace(worker.slot, served, str(ended))

    def _fill(self) -> None:
        """Start workers in slots without one, as many as may start at once."""
        room = max(0, STARTS_AT_ONCE - self.states()[WorkerState.STARTING])
        free = (slot for slot in range(self._wanted) if slot not in self._slots and slot not in self._delayed)
        for slot in tuple(islice(free, room)):
            self._launch(slot)

    def _launch(self, slot: int) -> None:
        self._delayed.pop(slot, None)
        try:
            row = self._register.enter()
        except StartError as exc:
            self._not_launched(slot, exc)
            return
        region = self._ledger.open()
        worker = WorkerProcess(slot, row, region, self._time.now, self)
        try:
            worker.start(self._loop, self._children, self._command, self._briefing())
        except (StartError, OSError) as exc:
            self._ledger.retire(region)
            self._register.leave(row)
            self._not_launched(slot, exc)
            return
        self._slots[slot] = worker

    def _not_launched(self, slot: int, fault: Exception) -> None:
        _log.error("cannot start a worker", extra=process_log.fields(worker=slot, reason=str(fault)))
        self._replace(slot, None, str(fault))

    def _replace(self, slot: int, served: float | None, last: str) -> None:
        delay = self._policy.delay(served=served)
        if self._policy.hopeless and not self.serving:
            self._on_hopeless(last)
        elif slot < self._wanted:
            self._delayed[slot] = self._loop.call_later(delay, self._launch, slot)

    def _retire_predecessors(self, seconds: float) -> None:
        while self._predecessors:
            self._retire(self._predecessors.pop(), seconds)

    def _retire(self, worker: WorkerProcess, seconds: float) -> None:
        self._lingering.append(worker)
        worker.drain(seconds, DRAIN_GRACE)


def _named(worker: WorkerProcess, **more: object) -> dict[str, object]:
    return process_log.fields(worker=worker.slot, pid=worker.pid, **more)
