"""The supervisor itself: one event loop that holds everything together until it is told to end."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from proxy.admin.cache import cache_routes
from proxy.admin.certificates import certificate_routes
from proxy.admin.operations import Document, ReloadOutcome
from proxy.config.diff import redacted
from proxy.config.schema import Config
from proxy.supervisor.admin_servers import AdminServers
from proxy.supervisor.cache_desk import CacheDesk
from proxy.supervisor.cache_move import CacheMove
from proxy.supervisor.certificate_desk import CertificateDesk
from proxy.supervisor.certificate_wishes import probing_of
from proxy.supervisor.certificates import Certificates
from proxy.supervisor.client_watch import ClientWatch
from proxy.supervisor.cpus import worker_count
from proxy.supervisor.heartbeat import INTERVAL
from proxy.supervisor.lasting import kept_running
from proxy.supervisor.listeners import Listener, Purpose
from proxy.supervisor.overview import Overview, upstream_documents
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.processes import Children
from proxy.supervisor.reloading import Reloader
from proxy.supervisor.saved_limits import SavedLimitsFile
from proxy.supervisor.service_manager import ServiceManager
from proxy.supervisor.shared_regions import SharedRegions
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import ConfigFile
from proxy.supervisor.starting import Started
from proxy.supervisor.upgrade import HELD_SIGNALS, Parts, Succession
from proxy.supervisor.upstream_news import UpstreamNews
from proxy.supervisor.worker_process import Briefing
from proxy.telemetry import process_log
from proxy.telemetry.metrics import render
from proxy.telemetry.totals import CounterLedger
from proxy.upstream.watch import UpstreamWatch

_log = process_log.logger("supervisor")

_RATE_EVERY = 5  # ticks
_LAST_HANDSHAKES = 0.1  # seconds for connections that are being established when a drain begins


class Supervisor:
    """Run the workers and answer the operator; implements `proxy.admin.operations.Operations`."""

    def __init__(self, file: ConfigFile, started: Started, command: tuple[str, ...]) -> None:
        """Own the listening sockets; `command` starts a worker. To be made inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._draining = False
        self._hurried = asyncio.Event()
        self._children = Children(self._loop)
        config = started.loaded.config
        held = started.held
        probing = probing_of(os.environ)  # what may be refused comes before what uses up the saved limits
        saved_limits = SavedLimitsFile(Path(config.tls.storage))
        self._regions = SharedRegions(config, saved_limits.restored_table, held)
        self._ledger = CounterLedger(held.ledger if held else None)
        self._in_use = InUse(started.loaded, started.listeners, self._ledger, held.generation if held else 0)
        self._pool = WorkerPool(
            self._children,
            self._ledger,
            command,
            self._briefing,
            self._give_up,
            on_certificate=lambda worker, report: self._certificates.reported(worker, report),
            on_limited=lambda worker, report: self._clients.told(worker, report),
            register=self._regions,
        )
        self._certificates = Certificates(self._pool, probing)
        self._desk = CertificateDesk(self._certificates)
        self._cache = CacheDesk(self._regions, self._in_use, self._ledger.totals)
        self._service = ServiceManager(os.environ)
        move = CacheMove(self._regions, self._pool)
        self._reloader = Reloader(file, self._in_use, self._pool, move, self._follow, self._service)
        parts = Parts(
            children=self._children,
            file=file,
            in_use=self._in_use,
            regions=self._regions,
            ledger=self._ledger,
            pool=self._pool,
            reloader=self._reloader,
            problems=self._certificates.problems,
        )
        self._succession = Succession(parts, held)
        self._overview = Overview(self._in_use, self._ledger, self._pool, self._reloader, self._succession)
        self._upstreams = UpstreamWatch(UpstreamNews(self._pool.broadcast).tell)
        self._clients = ClientWatch(self._in_use, self._ledger)
        self._servers = AdminServers(
            self,
            (*certificate_routes(self._desk), *cache_routes(self._cache)),
            lambda: self._in_use.config.server.admin_token,
        )
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self) -> str:
        """Serve until told to end; return "", or why it could not go on."""
        config = self._in_use.config
        self._succession.adopt()
        self._take_signals()
        self._upstreams.apply(config)
        self._certificates.follow(config)
        for lasting in (self._upstreams.run, self._certificates.run, self._tick_on, self._look_on):
            self._spawn(kept_running(lasting))
        self._spawn(self._service.attend(self._pool.wait_ready))
        for listener in self._in_use.listeners.values():
            self._servers.open(listener)
        self._pool.resize(worker_count(config.server.workers), config.server.linger)
        try:
            return await self._ended
        finally:
            await self._close()

    # What the operator may ask.

    @property
    def ready(self) -> bool:
        """Tell whether connections are served and will go on being served."""
        return not self._draining and self._pool.serving > 0

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Render the metrics for an Accept field, beside the loop: a thousand sites take 0.3 s."""
        observation = replace(
            self._desk.complete(self._overview.observation(ready=self.ready)),
            cache_octets=self._cache.figures,
            behind_gateway=self._clients.behind_gateway,
        )
        return await asyncio.to_thread(render, observation, accept)

    def status(self) -> Document:
        """Describe the running instance."""
        state = "draining" if self._draining else "serving" if self.ready else "starting"
        known = {"upstreams": self.upstreams(), **self._desk.certificates(), **self._clients.status()}
        return {**self._overview.status(state), **known}

    def sites(self) -> Sequence[Document]:
        """Describe every site and what it has done."""
        return self._overview.sites()

    def upstreams(self) -> Sequence[Document]:
        """Describe what is known about upstream names and addresses."""
        return upstream_documents(self._upstreams.snapshot())

    def limits(self) -> Document:
        """List the clients that were limited most in the last minutes."""
        return self._clients.limits()

    def configuration(self) -> Document:
        """Show the configuration in use, without its secrets."""
        return redacted(self._in_use.config)

    async def reload(self, trigger: str) -> ReloadOutcome:
        """Read the configuration file anew and use it if it is good."""
        if self._draining:
            faults = ("this instance is shutting down",)
            return ReloadOutcome(accepted=False, generation=self._in_use.generation, faults=faults)
        return await self._reloader.reload(trigger)

    async def upgrade(self) -> str:
        """Let the program that is installed now take over; return "", or why it cannot."""
        fault = "this instance is shutting down" if self._draining else await self._succession.try_out()
        if not fault:
            self._spawn(self._make_way())
        return fault

    # Life.

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._terminate)
        reload = partial(self._reloader.hang_up, lambda: self._spawn(self.reload("SIGHUP")))
        self._loop.add_signal_handler(signal.SIGHUP, reload)
        self._loop.add_signal_handler(signal.SIGUSR1, self._pool.reopen_logs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)

    def _terminate(self) -> None:
        """Drain at the first signal, and hurry at the second."""
        if self._draining:
            _log.warning("told to stop again: closing what is in flight")
            self._hurried.set()
            self._pool.hurry()
            return
        self._draining = True
        self._service.stopping()
        _log.info("draining", extra=process_log.fields(seconds=self._in_use.config.server.drain_timeout))
        self._spawn(self._drain())

    async def _drain(self) -> None:
        listeners = [
            listener
            for listener in self._in_use.listeners.values()
            if listener.endpoint.purpose in (Purpose.HTTP, Purpose.HTTPS)
        ]
        for listener in listeners:
            listener.turn_away()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), _LAST_HANDSHAKES)
        seconds = 0.0 if self._hurried.is_set() else self._in_use.config.server.drain_timeout
        drained = asyncio.create_task(self._pool.drain(seconds))
        await asyncio.sleep(0)  # the workers are told first: who closes a socket last takes what waits in it
        for listener in listeners:
            listener.close()
        _log.info("listening no more")
        await drained
        self._end("")

    async def _make_way(self) -> None:
        """Answer what was asked, and become the next program; if that is impossible, go on."""
        await self._servers.stop()
        if self._draining:
            return
        try:
            await self._succession.execute()
        except OSError as exc:
            _log.error("cannot run the next program", extra=process_log.fields(reason=str(exc)))
            for listener in self._in_use.listeners.values():
                self._servers.open(listener)

    def _give_up(self, last: str) -> None:
        self._end(f"workers end before they are ready, every time ({last}); the log lines above say why")

    def _end(self, fault: str) -> None:
        if not self._ended.done():
            self._ended.set_result(fault)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._certificates.close()
        await self._servers.stop()
        await self._pool.drain(0.0)
        for listener in self._in_use.listeners.values():
            listener.close()
        self._children.close()
        SavedLimitsFile(Path(self._in_use.config.tls.storage)).save(self._regions.limiter)
        self._regions.close()
        _log.info("ended")

    # What goes on beside.

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tick_on(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(INTERVAL)
            self._pool.tick()
            if ticks % _RATE_EVERY == 0:
                self._overview.requests.sample(self._loop.time(), self._ledger.requests())
                self._clients.check_gateway()
            ticks += 1

    async def _look_on(self) -> None:
        """Look after files and the admin socket; a reload may wait for a worker that only a tick can end."""
        while True:
            await asyncio.sleep(INTERVAL)
            if not self._draining:
                await self._reloader.poll()
                self._certificates.poll()
                self._servers.mend(self._in_use.listeners)

    # What reloads and workers need.

    def _briefing(self) -> Briefing:
        return Briefing(
            configure=self._in_use.configure,
            listeners=tuple(self._in_use.listeners.values()),
            upstreams=self._upstreams.snapshot(),
            memory=self._regions.descriptors,
            cache_beside=beside.named if (beside := self._regions.cache_beside) else {},
            secret=self._regions.secret,
            certificates=self._certificates.briefing(),
        )

    def _follow(self, config: Config, opened: tuple[Listener, ...], removed: tuple[Listener, ...]) -> None:
        """Do what a reload changes beside the workers' snapshot."""
        process_log.configure(config.log.format, config.log.level)
        for listener in removed:
            # Not awaited: the request that asked for the reload may be on this very listener.
            self._spawn(self._servers.withdraw(listener))
        for listener in opened:
            self._servers.open(listener)
        self._upstreams.apply(config)
        self._certificates.follow(config)
        self._pool.resize(worker_count(config.server.workers), config.server.linger)
