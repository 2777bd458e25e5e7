"""Reloading: all of a new configuration or nothing of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from proxy.admin.operations import ReloadOutcome
from proxy.config.diff import changes
from proxy.config.errors import ConfigError
from proxy.config.schema import Config
from proxy.control.messages import Unlisten
from proxy.supervisor.cache_move import CacheMove
from proxy.supervisor.certificate_files import check_pairs
from proxy.supervisor.certificate_wishes import storages
from proxy.supervisor.errors import ListenError, StartError
from proxy.supervisor.listeners import Endpoint, Listener, endpoints, open_all
from proxy.supervisor.memory_limit import memory_limit, warn_of_memory
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.privileges import prepare_storage
from proxy.supervisor.service_manager import ServiceManager
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import ConfigFile, FileWatch, Loaded, list_fingerprints, with_new_lists
from proxy.telemetry import process_log

_log = process_log.logger("supervisor")

_AT_START = ("server.user:",)
APPLY_PATIENCE = 10.0  # seconds for a worker to take a snapshot over


def log_warnings(loaded: Loaded) -> None:
    """Say what is allowed in a configuration and hardly meant."""
    for warning in loaded.warnings:
        _log.warning("odd configuration", extra=process_log.fields(warning=str(warning)))


def _with_its_time(change: str) -> str:
    """Say which change a running instance cannot make."""
    return f"{change} (from the next start on)" if change.startswith(_AT_START) else change


class Reloader:
    """Read the file, and swap the snapshot, the sockets and the number of workers if it is good.

    Reloads come from a signal, the admin API and the file's watch; they happen one after the other.
    """

    def __init__(
        self,
        file: ConfigFile,
        in_use: InUse,
        pool: WorkerPool,
        move: CacheMove,
        follow: Callable[[Config, tuple[Listener, ...], tuple[Listener, ...]], None],
        service: ServiceManager,
    ) -> None:
        """Use `follow` for all that is not the workers': it gets the configuration and the sockets that were
        opened, and those that it is to close."""
        self.file = file
        self._in_use = in_use
        self._pool = pool
        self._move = move
        self._follow = follow
        self._service = service
        self.lock = asyncio.Lock()
        self.watch = FileWatch(in_use.loaded.fingerprint)
        self.lists_watch = FileWatch(in_use.loaded.lists)
        self.results: Counter[bool] = Counter()
        self._hung_up = False
        self._unplaced: tuple[Listener, ...] = ()  # opened, and not in use yet
        self._file_faults: tuple[str, ...] = ()
        self._list_faults: tuple[str, ...] = ()

    @property
    def last_faults(self) -> tuple[str, ...]:
        """Tell what keeps the files, as they were read last, from being used."""
        return (*self._file_faults, *self._list_faults)

    def hang_up(self, reload: Callable[[], None]) -> None:
        """Reload for a SIGHUP, unless a reload that is still to begin will do: a storm of them is one or two."""
        if not self._hung_up:
            self._hung_up = True
            reload()

    async def reload(self, trigger: str) -> ReloadOutcome:
        """Read the configuration file and use it if it is good; never raises for a bad one."""
        async with self.lock:
            self._hung_up = False  # who asks from now on wants what the file says from now on
            self._service.reloading()
            ended = "reload refused, see the log"
            try:
                outcome = await self._attempt(self._reload)
                ended = "configuration reloaded" if outcome.accepted else ended
            finally:
                self._service.reloaded(ended)
        self._file_faults = tuple(outcome.faults)
        self._list_faults = ()  # the lists were read along, and their faults are among those
        self._tell(trigger, outcome)
        return outcome

    async def poll(self) -> None:
        """Reload when a file has changed, has been left alone since, and really says something else."""
        if self.watch.poll(self.file.fingerprint()) and (
            self._file_faults or self.file.digest() != self._in_use.loaded.digest
        ):
            await self.reload("file change")
        if self.lists_watch.poll(list_fingerprints(self._in_use.config)):
            async with self.lock:
                outcome = await self._attempt(self._reload_lists)
            self._list_faults = tuple(outcome.faults)
            self._tell("list change", outcome)
            if outcome.accepted and self._file_faults:
                await self.reload("list change")  # perhaps a list was what was wrong with the file
        if self._move.is_due(self._in_use.config):
            async with self.lock:
                await self._move.catch_up(self._in_use.config)

    def _tell(self, trigger: str, outcome: ReloadOutcome) -> None:
        self.results[outcome.accepted] += 1
        seen = {"trigger": trigger, "generation": outcome.generation}
        if outcome.accepted:
            log_warnings(self._in_use.loaded)
            warn_of_memory(self._in_use.config, memory_limit())
            changes = list(outcome.changes)
            _log.info("configuration reloaded", extra=process_log.fields(**seen, changes=changes))
        else:
            faults = list(outcome.faults)
            _log.error("configuration refused", extra=process_log.fields(**seen, faults=faults))

    async def _attempt(self, work: Callable[[], Awaitable[ReloadOutcome]]) -> ReloadOutcome:
        """Reload; when that fails as nobody has foreseen, go back to the configuration before."""
        former, self._unplaced = self._in_use.loaded, ()
        try:
            return await work()
        except Exception as exc:
            _log.exception("a reload failed")
            fault = f"a fault of Foregate's own, {exc!r}; please report it with the traceback in the log"
        try:
            _close(self._unplaced)
            if self._in_use.loaded is not former:
                await self._use(former)
                self._follow(former.config, (), ())
        except Exception:
            _log.exception("the former configuration could not be restored; restart")
        return self._refused([fault])

    async def _reload_lists(self) -> ReloadOutcome:
        """Read the lists of addresses anew, whatever has become of the configuration file meanwhile."""
        former = self._in_use.loaded
        try:
            loaded = await asyncio.to_thread(with_new_lists, former)
        except ConfigError as exc:
            return self._refused(str(fault) for fault in exc.faults)
        reason = await self._use(loaded)
        if reason:
            await self._use(former)
            return self._refused([f"a worker cannot use it: {reason}"])
        return ReloadOutcome(accepted=True, generation=self._in_use.generation)

    async def _reload(self) -> ReloadOutcome:
        self.watch.settle(self.file.fingerprint())
        try:
            # 100,000 rules take most of a second, in which the loop has others to serve.
            loaded = await asyncio.to_thread(self.file.read)
        except ConfigError as exc:
            return self._refused(str(fault) for fault in exc.faults)
        unusable = await _unusable(loaded.config)
        if unusable:
            return self._refused(unusable)
        wanted = endpoints(loaded.config)
        try:
            for storage in storages(loaded.config):
                prepare_storage(storage, None)
            opened = self._unplaced = self._open(wanted)
        except StartError as exc:
            return self._refused([str(exc)])
        try:
            cache = self._move.prepare(loaded.config) if self._move.is_possible else None
        except StartError as exc:
            _close(opened)
            return self._refused([str(exc)])
        former = self._in_use.loaded
        reason = await self._use(loaded)
        if reason:
            _close(opened)
            if cache is not None:
                cache.close()
            await self._use(former)
            self._follow(former.config, (), ())  # who had taken the new one may have forgotten something
            return self._refused([f"a worker cannot use it: {reason}"])
        removed = [self._in_use.listeners[old] for old in self._in_use.listeners if old not in wanted]
        self._exchange(loaded.config, opened, tuple(removed))
        if cache is not None:
            await self._move.carry_out(cache)
        self.lists_watch.settle(loaded.lists)
        changed = tuple(map(_with_its_time, changes(former.config, loaded.config)))
        return ReloadOutcome(accepted=True, generation=self._in_use.generation, changes=changed)

    def _open(self, wanted: tuple[Endpoint, ...]) -> tuple[Listener, ...]:
        """Open what is new; an address that changes its purpose keeps its socket, which holds the port."""
        held = self._in_use.listeners
        free = {old.address: listener for old, listener in held.items() if old not in wanted and old.address}
        reused: list[Listener] = []
        unbound: list[Endpoint] = []
        for endpoint in wanted:
            if endpoint in held:
                continue
            former = free.get(endpoint.address) if endpoint.address else None
            if former is None:
                unbound.append(endpoint)
            else:
                reused.append(Listener(endpoint, former.socket.dup(), lent=former.lent))
        try:
            return (*reused, *open_all(unbound))
        except ListenError:
            _close(reused)
            raise

    async def _use(self, loaded: Loaded) -> str:
        """Give a snapshot to workers that run and to those that will; return why one cannot use it."""
        self._in_use.use(loaded)
        return await self._pool.apply(self._in_use.generation, self._in_use.configure, APPLY_PATIENCE)

    def _exchange(self, config: Config, opened: tuple[Listener, ...], removed: tuple[Listener, ...]) -> None:
        self._unplaced = ()
        for listener in opened:
            self._in_use.listeners[listener.endpoint] = listener
            self._pool.listen(listener)
        for listener in removed:
            del self._in_use.listeners[listener.endpoint]
            self._pool.broadcast(Unlisten(listener.endpoint.name))
        self._follow(config, opened, removed)

    def _refused(self, faults: Iterable[str]) -> ReloadOutcome:
        return ReloadOutcome(accepted=False, generation=self._in_use.generation, faults=tuple(faults))


def _close(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.close()


async def _unusable(config: Config) -> tuple[str, ...]:
    """Say which certificate files of a configuration cannot be served, beside the loop: each is a file and a key."""
    faults, _ = await asyncio.to_thread(check_pairs, config, time.time())
    return tuple(map(str, faults))
