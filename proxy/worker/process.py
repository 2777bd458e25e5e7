"""One worker process: an event loop with the data plane, at the command of the supervisor.

It is started by exec as `python -m proxy.worker DESCRIPTOR`, the descriptor being its end of the control
channel, and learns everything else over that: shared memory, configuration, listening sockets. Commands are
carried out one after the other; only Ping is answered at once, since it asks whether the loop runs, and Drain
goes on beside the rest, since a second one may shorten it. When the channel closes, the supervisor is gone:
the worker then finishes what is in flight and exits.
"""

import asyncio
import ctypes
import gc
import signal
import socket
from typing import Any, Final, assert_never

import uvloop

from proxy.config.schema import Config
from proxy.control import messages as control
from proxy.control.channel import WorkerChannel
from proxy.control.messages import Command, ControlError
from proxy.errors import ForegateError
from proxy.shared_memory import SharedMemory
from proxy.telemetry import process_log
from proxy.telemetry.counters import COUNTERS_KIND, COUNTERS_LAYOUT, WorkerCounters
from proxy.worker.plane import Plane, PlaneFactory, Surroundings, cache_store

_log = process_log.logger("worker")

_DONE: Final = 0
_FAILED: Final = 1
_PR_SET_DUMPABLE: Final = 4
#: Octets given back when there is no memory left: more than malloc takes from its heap, so that they are free at once.
_RESERVE: Final = 512 * 1024


class Worker:
    """Carry out the supervisor's commands until one of them, or its end, says to stop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, end: socket.socket, make_plane: PlaneFactory) -> None:
        """Own `end`, the worker's end of the control channel."""
        self._loop = loop
        self._make_plane = make_plane
        self._commands: asyncio.Queue[tuple[Command, list[int]]] = asyncio.Queue()
        self._surroundings: Surroundings | None = None
        self._plane: Plane | None = None
        self._generation = 0
        self._drain_timeout = Config().server.drain_timeout
        self._listening: dict[str, socket.socket] = {}
        self._drain: asyncio.Task[None] | None = None
        self._reserve = bytearray(_RESERVE)
        self._has_memory = True
        self._finished: asyncio.Future[int] = loop.create_future()
        self._channel = WorkerChannel(loop, end, self._take, self._orphaned)

    async def run(self) -> int:
        """Work until drained; return the exit status."""
        self._loop.set_exception_handler(self._escaped)
        self._loop.add_signal_handler(signal.SIGTERM, self._leave)
        self._loop.add_signal_handler(signal.SIGINT, lambda: None)  # it is the supervisor that decides
        obeying = asyncio.create_task(self._obey())
        obeying.add_done_callback(self._stopped_obeying)
        try:
            return await self._finished
        finally:
            obeying.cancel()
            self._channel.close()

    def _stopped_obeying(self, obeying: asyncio.Task[None]) -> None:
        """Fail with the fault that ended the one task that carries out commands."""
        if not obeying.cancelled() and (fault := obeying.exception()) and not self._finished.done():
            self._finished.set_exception(fault)

    def _take(self, command: Command, descriptors: list[int]) -> None:
        if isinstance(command, control.Ping):
            active = self._plane.active() if self._plane else 0
            self._channel.send(control.Pong(command.sequence, active))
        else:
            self._commands.put_nowait((command, descriptors))

    async def _obey(self) -> None:
        while True:
            command, descriptors = await self._commands.get()
            await self._carry_out(command, descriptors)

    async def _carry_out(self, command: Command, descriptors: list[int]) -> None:
        match command:
            case control.Attach():
                self._attach(command, descriptors)
            case control.Configure():
                self._configure(command)
            case control.Listen():
                await self._listen(command, descriptors)
            case control.Unlisten():
                self._unlisten(command.name)
            case control.Upstreams():
                for message in command.messages:
                    self._configured_plane.upstream_changed(message)
            case control.SetCertificate():
                self._configured_plane.set_certificate(command.name, command.chain_pem, command.key_pem)
            case control.FailCertificate():
                self._configured_plane.fail_certificate(command.name)
            case control.SetThumbprint():
                self._configured_plane.set_thumbprint(command.names, command.thumbprint)
            case control.SetPlaceholder():
                self._configured_plane.set_placeholder(command.chain_pem, command.key_pem)
            case control.OpenCacheBeside() | control.SwapCaches() | control.LeaveOtherCache():
                self._move_cache(command, descriptors)
            case control.Sync():
                self._channel.send(control.Synced(command.number))
            case control.Serve():
                gc.freeze()  # what is there now stays: the collector need not look at it again
                self._channel.send(control.Ready(self._generation))
            case control.Drain():
                self._begin_drain(command.timeout)
            case control.ReopenLogs():
                self._reopen_logs(self._configured_plane)
            case control.Ping():
                pass  # answered when it came in
            case _:
                assert_never(command)

    @property
    def _configured_plane(self) -> Plane:
        if self._plane is None:
            raise ControlError("a command that needs a configuration came before any")
        return self._plane

    def _attach(self, command: control.Attach, descriptors: list[int]) -> None:
        memory = dict(zip(command.regions, descriptors, strict=True))
        region = SharedMemory.attach(memory.pop(COUNTERS_KIND), COUNTERS_KIND, layout=COUNTERS_LAYOUT)
        counters = WorkerCounters(region.words)
        self._surroundings = Surroundings(
            command.worker, command.row, counters, memory, command.secret, self._channel.send
        )

    def _configure(self, command: control.Configure) -> None:
        """Use a snapshot; the first must succeed, a later one that fails leaves the former in use."""
        if self._surroundings is None:
            raise ControlError("a configuration came before the shared memory")
        config = command.config
        process_log.configure(config.log.format, config.log.level, worker=self._surroundings.worker)
        if self._plane is None:
            self._plane = self._make_plane(self._loop, command, self._surroundings)
        else:
            try:
                self._plane.apply(config, command.site_blocks, command.firewalls)
            except Exception as exc:
                _log.exception("cannot use the new configuration")
                self._channel.send(control.Refused(command.generation, f"{type(exc).__name__}: {exc}"))
                return
            self._channel.send(control.Applied(command.generation))
        self._generation = command.generation
        self._drain_timeout = config.server.drain_timeout

    def _reopen_logs(self, plane: Plane) -> None:
        try:
            plane.reopen_logs()
        except OSError as exc:
            _log.error("cannot open the access log anew", extra=process_log.fields(reason=str(exc)))
        else:
            _log.debug("logs reopened")

    def _move_cache(
        self,
        step: control.OpenCacheBeside | control.SwapCaches | control.LeaveOtherCache,
        descriptors: list[int],
    ) -> None:
        """Take one step of the cache's way to other memory."""
        cache, given = self._configured_plane.cache_memory, self._surroundings
        if cache is None or given is None:
            return
        match step:
            case control.OpenCacheBeside():
                memory = dict(zip(step.regions, descriptors, strict=True))
                cache.open_beside(cache_store(memory, given.secret))
            case control.SwapCaches():
                cache.swap()
            case control.LeaveOtherCache():
                cache.leave_other()

    async def _listen(self, command: control.Listen, descriptors: list[int]) -> None:
        listening = socket.socket(fileno=descriptors[0])
        self._listening[command.name] = listening
        if self._drain is None:
            await self._configured_plane.open_listener(listening, tls=command.tls, port=command.port)

    def _unlisten(self, name: str) -> None:
        listening = self._listening.pop(name, None)
        if listening is not None:
            self._configured_plane.close_listener(listening)
            listening.close()

    def _leave(self) -> None:
        self._channel.send(control.Leaving())
        self._begin_drain(None)

    def _escaped(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what nobody caught, and leave if it says that there is no memory.

        A callback that got none may have left its connection half done, with a client or a request that waits for
        ever, and nobody can tell which: whatever it was ends with the process.
        """
        if isinstance(context.get("exception"), MemoryError) and self._has_memory:
            self._reserve.clear()
            self._leave()
            self._has_memory = False  # not before: without memory even leaving may need a second try
            _log.error("memory has run out: another worker takes over")
        loop.default_exception_handler(context)

    def _orphaned(self, fault: str) -> None:
        _log.warning("the supervisor is gone: draining", extra=process_log.fields(fault=fault))
        self._begin_drain(None)

    def _begin_drain(self, seconds: float | None) -> None:
        """Stop accepting and finish within `seconds`, or within what the configuration says."""
        if self._plane is None:
            self._finish(_DONE)
            return
        self._plane.stop_accepting()
        for listening in self._listening.values():
            listening.close()
        self._listening.clear()
        if self._drain is not None:
            self._drain.cancel()
        self._drain = asyncio.create_task(self._finish_requests(self._plane, seconds))

    async def _finish_requests(self, plane: Plane, seconds: float | None) -> None:
        try:
            await plane.drain(self._drain_timeout if seconds is None else seconds)
        except Exception:
            _log.exception("draining failed")
            self._finish(_FAILED)
        else:
            self._finish(_DONE)

    def _finish(self, status: int) -> None:
        if not self._finished.done():
            self._finished.set_result(status)


def serve(descriptor: int, make_plane: PlaneFactory) -> int:
    """Run a worker whose end of the control channel is `descriptor`; return its exit status."""
    process_log.configure("json", "info")
    _hide_memory()
    end = socket.socket(fileno=descriptor)
    end.set_inheritable(False)

    async def work() -> int:
        return await Worker(asyncio.get_running_loop(), end, make_plane).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work())
    except ForegateError as exc:
        _log.error("the worker cannot go on", extra=process_log.fields(reason=str(exc)))
    except Exception:
        _log.exception("the worker failed")
    return _FAILED


def _hide_memory() -> None:
    """Keep this process's memory, with its keys, away from others of the same user."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
