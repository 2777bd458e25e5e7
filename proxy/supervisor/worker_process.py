"""One worker as the supervisor sees it: its process, its channel, its counters and what it last said."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from proxy.control import messages as control
from proxy.control.channel import PackedCommand, SupervisorChannel, channel_pair
from proxy.control.messages import Command, Report
from proxy.shared_memory import SharedMemory
from proxy.supervisor.heartbeat import Beat, Heartbeat
from proxy.supervisor.listeners import Listener, Purpose
from proxy.supervisor.paced import PacedCommands
from proxy.supervisor.processes import Children, Exit
from proxy.telemetry.counters import COUNTERS_KIND
from proxy.upstream.addresses import UpstreamMessage

_START_PATIENCE: Final = 30.0  # seconds from exec to Ready, on a machine that is busy
_CLOSED_PATIENCE: Final = 5.0  # seconds between the end of the channel and that of the process
CertificateReport = control.CertificateWanted | control.CertificateUnusable


class WorkerState(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class ExitReason(Enum):
    """Why a worker ended, as the metrics tell it."""

    DRAINED = "drained"
    CRASHED = "crashed"
    NOT_READY = "not_ready"
    UNRESPONSIVE = "unresponsive"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """What a worker is told when it starts.

    `memory` maps the name of each region that all workers share to its descriptor, and `cache_beside` those of
    the cache that the workers come from or go to, while it moves. `secret` is the same for all workers.
    `certificates` are commands, perhaps thousands.
    """

    configure: PackedCommand
    listeners: tuple[Listener, ...]
    upstreams: tuple[UpstreamMessage, ...]
    memory: Mapping[str, int]
    secret: bytes
    cache_beside: Mapping[str, int] = field(default_factory=dict)
    certificates: Sequence[PackedCommand] = ()


class WorkerOwner(Protocol):
    """Who is told about a worker's life."""

    def worker_ready(self, worker: "WorkerProcess") -> None:
        """Take note that it accepts connections."""
        ...

    def worker_leaving(self, worker: "WorkerProcess") -> None:
        """Take note that it stops by itself."""
        ...

    def worker_faulty(self, worker: "WorkerProcess", fault: str) -> None:
        """Take note that it broke the rules, and will be killed."""
        ...

    def worker_asks(self, worker: "WorkerProcess", report: CertificateReport) -> None:
        """Take its question or complaint about a certificate."""
        ...

    def worker_limited(self, worker: "WorkerProcess", report: control.MostLimited) -> None:
        """Take note of whom it limits."""
        ...

    def worker_exited(self, worker: "WorkerProcess", ended: Exit) -> None:
        """Take note that it is gone."""
        ...


class WorkerProcess:
    """A running worker. Times are of the supervisor's running time, except `started`, which is Unix time."""

    def __init__(
        self,
        slot: int,
        row: int,
        region: SharedMemory,
        now: float,
        owner: "WorkerOwner",
    ) -> None:
        """Prepare a worker for a slot; `start` starts it. The region and the row belong to the caller."""
        self.slot = slot
        self.row = row
        self.region = region
        self.pid = 0
        self.state = WorkerState.STARTING
        self.started = time.time()
        self.ready_at: float | None = None
        self.connections = 0
        self.ending: ExitReason | None = None
        self._begun = now
        self._now = now
        self._kill_at: float | None = None
        self._heartbeat = Heartbeat()
        self._channel: SupervisorChannel | None = None
        self._applying: dict[int, asyncio.Future[str]] = {}
        self._paced = PacedCommands(self.send)
        self._owner = owner
        self._alive = False
        self.is_adopted = False  # it runs the program before this one, and knows that one's commands alone

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        children: Children,
        command: tuple[str, ...],
        briefing: Briefing,
    ) -> None:
        """Execute the worker and tell it everything. Raises StartError or OSError."""
        ours, theirs = channel_pair()
        try:
            self.pid = children.start(command, theirs, self._exited)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._alive = True
        self._channel = SupervisorChannel(loop, ours, self._reported, self._closed)
        names = (COUNTERS_KIND, *briefing.memory)
        descriptors = (self.region.descriptor, *briefing.memory.values())
        self.send(control.Attach(self.slot, self.row, names, briefing.secret), descriptors)
        self.send(briefing.configure)
        if briefing.cache_beside:
            beside = briefing.cache_beside
            self.send(control.OpenCacheBeside(tuple(beside)), tuple(beside.values()))
        self.send(control.Upstreams(briefing.upstreams))
        for told in briefing.certificates:
            self.tell(told)
        for listener in briefing.listeners:
            self.listen(listener)
        self.tell(control.Serve())

    def adopt(
        self, loop: asyncio.AbstractEventLoop, children: Children, pid: int, channel: int | None
    ) -> None:
        """Take over a worker that this process started when it ran another program; it serves already.

        One without a channel is about to end.
        """
        self.pid = pid
        self.state = WorkerState.SERVING
        self.ready_at = self._now
        self._alive = self.is_adopted = True
        children.adopt(pid, self._exited)
        if channel is None:
            self._closed("")
        else:
            end = socket.socket(fileno=channel)
            self._channel = SupervisorChannel(loop, end, self._reported, self._closed)

    @property
    def channel_descriptor(self) -> int | None:
        """Return the descriptor of the supervisor's end of the channel; None when that is closed."""
        return None if self._channel is None else self._channel.descriptor

    def send(self, command: Command | PackedCommand, descriptors: Sequence[int] = ()) -> None:
        """Tell the worker something; one that is gone, or ends just now, does not hear it."""
        if self._channel is not None:
            self._channel.send(command, descriptors)

    def tell(self, command: Command | PackedCommand) -> None:
        """Tell the worker something after all else that it was told, when it has come so far."""
        self._paced.put(command)

    def sync(self) -> asyncio.Future[None]:
        """Return what is done when the worker has carried out what it was told, or has ended."""
        return self._paced.sync()

    def listen(self, listener: Listener) -> None:
        """Let the worker accept on a socket, if that is for its clients."""
        purpose = listener.endpoint.purpose
        if purpose in (Purpose.HTTP, Purpose.HTTPS):
            command = control.Listen(listener.endpoint.name, purpose is Purpose.HTTPS, listener.port)
            self.send(command, (listener.socket.fileno(),))

    def apply(self, generation: int, configure: PackedCommand) -> asyncio.Future[str]:
        """Send a snapshot; the result is "" when it is in use, or the reason why it is not."""
        applied = asyncio.get_running_loop().create_future()
        self._applying[generation] = applied
        self.send(configure)
        return applied

    def drain(self, seconds: float, grace: float) -> None:
        """Let the worker finish and exit; it is killed `grace` seconds after its time."""
        self.state = WorkerState.DRAINING
        self.ending = ExitReason.DRAINED
        self._kill_at = self._now + seconds + grace
        self.send(control.Drain(seconds))

    def kill(self, reason: ExitReason | None = None) -> None:
        """End the process now."""
        self.ending = self.ending or reason
        if self._alive:
            os.kill(self.pid, signal.SIGKILL)

    def tick(self, now: float) -> bool:
        """Ask for a sign of life and judge the last one; False means that the worker was killed."""
        self._now = now
        if self._kill_at is not None and now > self._kill_at:
            self.kill()
            return False
        if self.state is WorkerState.STARTING and now - self._begun > _START_PATIENCE:
            self.kill(ExitReason.NOT_READY)
            return False
        if self.state is WorkerState.STARTING:
            return True
        match self._heartbeat.tick(now):
            case Beat.PING:
                self.send(control.Ping(self._heartbeat.sequence))
            case Beat.LOST:
                self.kill(ExitReason.UNRESPONSIVE)
                return False
            case Beat.WAIT:
                pass
        return True

    def _reported(self, report: Report) -> None:
        match report:
            case control.Pong():
                self.connections = report.active
                self._heartbeat.answered(report.sequence)
            case control.Ready():
                if self.state is WorkerState.STARTING:
                    self.state = WorkerState.SERVING
                    self.ready_at = self._now
                    self._owner.worker_ready(self)
            case control.Leaving():
                if self.state is not WorkerState.DRAINING:
                    self._owner.worker_leaving(self)
            case control.Applied():
                self._settle(report.generation, "")
            case control.Refused():
                self._settle(report.generation, report.reason or "the worker did not say why")
            case control.Synced():
                self._paced.synced(report.number)
            case control.CertificateWanted() | control.CertificateUnusable():
                self._owner.worker_asks(self, report)
            case control.MostLimited():
                self._owner.worker_limited(self, report)

    def _settle(self, generation: int, outcome: str) -> None:
        applied = self._applying.pop(generation, None)
        if applied is not None and not applied.done():
            applied.set_result(outcome)

    def _closed(self, fault: str) -> None:
        """See to the end of a process that nobody can tell anything any more."""
        self._channel = None
        self._paced.close()
        if fault:
            self._owner.worker_faulty(self, fault)
            self.kill(ExitReason.FAULTY)
        elif self._kill_at is None:
            self._kill_at = self._now + _CLOSED_PATIENCE

    def _exited(self, ended: Exit) -> None:
        self._alive = False
        if self._channel is not None:
            self._channel.read_rest()  # on a busy machine its end may be heard of before its last words
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._paced.close()
        for applied in self._applying.values():
            if not applied.done():
                applied.set_result("")  # its replacement starts with the snapshot
        self._applying.clear()
        self._owner.worker_exited(self, ended)
