"""Keep memory and storage folder of one manager in step, whichever of them is damaged or changed by others."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from autocert.certificate import Certificate
from autocert.client import DISK_SECONDS
from autocert.clock import Clock
from autocert.entry import Entry, Status
from autocert.errors import StorageError
from autocert.files import Signature
from autocert.record import Record
from autocert.renewal import Backoff, State
from autocert.settings import Settings
from autocert.shelf import Found
from autocert.storage import Storage
from autocert.threads import LeftBehindError, Runner

T = TypeVar("T")

# Removed certificates are looked through this often; they are kept for days.
_SWEEP: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the storage holds of one certificate, or why it cannot be read."""

    found: Found[Certificate]
    record: Record
    error: StorageError | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """A certificate that no site wants any more."""

    certificate: Certificate
    record: Record

    def erased_at(self, kept: float) -> float:
        """Return when it is erased: after some days, or, once restored, after its end."""
        start = self.certificate.not_after if self.record.kept else self.record.removed_at
        return start + kept


class Shelter:
    """The manager's way to the storage."""

    def __init__(self, settings: Settings, storage: Storage, runner: Runner, clock: Clock) -> None:
        self._settings = settings
        self._storage = storage
        self._runner = runner
        self._clock = clock
        self._next_sweep = 0.0
        self.removed: dict[str, Removed] = {}

    async def prepare(self) -> StorageError | None:
        """Make the storage folder ready; return what is wrong with it."""
        try:
            await self._disk(partial(self._storage.prepare, self._clock.wall()))
        except StorageError as error:
            return error
        return None

    async def load(self, idents: Iterable[str]) -> dict[str, Stored]:
        """Return what is stored under these folder names."""
        now = self._clock.wall()
        wanted = tuple(idents)

        def load() -> dict[str, Stored]:
            return {ident: self._stored(ident, now) for ident in wanted}

        try:
            return await self._disk(load)
        except StorageError as error:
            return {ident: Stored(Found(None), Record(), error) for ident in wanted}

    def _stored(self, ident: str, now: float) -> Stored:
        try:
            found = self._storage.load(ident, now)
            record = self._storage.load_record(ident, now)
            # Seen from now, once: a wait that begins in the future comes from a clock that was ahead.
            return Stored(found, replace(record, backoff=record.backoff.at(now)))
        except StorageError as error:
            return Stored(Found(None), Record(), error)

    async def signatures(self, idents: Iterable[str]) -> Mapping[str, Signature | None]:
        """Return the signatures of the current files; raises StorageError."""
        wanted = tuple(idents)
        return await self._disk(lambda: {ident: self._storage.signature(ident) for ident in wanted})

    async def save(self, entry: Entry) -> StorageError | None:
        """Write an entry's certificate and state; return what went wrong."""
        certificate = entry.certificate
        if certificate is None:
            return None
        try:
            signature = await self._disk(partial(self._storage.save, entry.wanted.ident, certificate))
            await self.save_record(entry)
        except StorageError as error:
            return error
        if entry.certificate is certificate:
            entry.signature = signature
        return None

    async def save_record(self, entry: Entry) -> None:
        """Write an entry's state; raises StorageError."""
        await self._disk(partial(self._storage.save_record, entry.wanted.ident, entry.record))

    async def try_writing(self) -> None:
        """Raise StorageError unless the storage can be written."""
        await self._disk(self._storage.try_writing)

    async def exchange(self, ident: str) -> Found[Certificate]:
        """Make the previous certificate the current one; raises StorageError."""
        now = self._clock.wall()

        def exchange() -> Found[Certificate]:
            certificate = self._storage.restore(ident, now)
            return Found(certificate, (), False, self._storage.signature(ident) if certificate else None)

        return await self._disk(exchange)

    async def sweep(self, entries: Mapping[str, Entry], *, now_removed: Iterable[str] = ()) -> None:
        """Mark what is no longer wanted, erase what has been so for long; raises StorageError.

        A certificate is marked once, when we start or its name is taken out. Another process that still wants
        it takes the mark away at its own next sweep, days before the end.
        """
        if not now_removed and self._clock.steady() < self._next_sweep:
            return
        idents = await self._disk(self._storage.identifiers)
        for ident in idents:
            if ident in entries:
                await self._unmark(entries[ident])
            else:
                await self._sweep_one(ident, marks=ident in now_removed or ident not in self.removed)
        self.removed = {i: removed for i, removed in self.removed.items() if i in idents and i not in entries}
        self._next_sweep = self._clock.steady() + _SWEEP

    async def _unmark(self, entry: Entry) -> None:
        ident, now = entry.wanted.ident, self._clock.wall()
        record = await self._disk(partial(self._storage.load_record, ident, now))
        if record.removed_at:
            entry.record = replace(entry.record, removed_at=0.0)
            await self.save_record(entry)

    async def _sweep_one(self, ident: str, *, marks: bool) -> None:
        now = self._clock.wall()
        stored = await self._disk(partial(self._stored, ident, now))
        if stored.error is not None:
            return
        record, certificate = stored.record, stored.found.value
        if not record.removed_at and marks:
            record = replace(record, removed_at=now, backoff=Backoff(), problem=None)
            await self._disk(partial(self._storage.save_record, ident, record))
        if certificate is not None:
            self.removed[ident] = Removed(certificate, record)
        start = record.removed_at
        if certificate is not None and record.kept:
            start = max(start, certificate.not_after)
        # A mark of the future was made while the clock was ahead.
        if record.removed_at and min(start, now) + self._settings.kept_after_removal <= now:
            await self._erase(ident)

    async def _erase(self, ident: str) -> None:
        lock = await self._disk(partial(self._storage.try_lock, ident))
        if lock is None:
            return
        try:
            await self._disk(partial(self._storage.erase, ident))
        finally:
            lock.release()
        self.removed.pop(ident, None)

    async def keep(self, ident: str) -> None:
        """Keep a removed certificate until its end; raises StorageError."""
        removed = self.removed[ident]
        record = replace(removed.record, kept=True)
        await self._disk(partial(self._storage.save_record, ident, record))
        self.removed[ident] = Removed(removed.certificate, record)

    def removed_statuses(self) -> list[Status]:
        """Return how the removed certificates stand."""
        return [
            Status(
                names=removed.certificate.names,
                state=State.EXPIRED if removed.certificate.not_after <= self._clock.wall() else State.VALID,
                origin=removed.certificate.origin,
                issuer=removed.certificate.issuer,
                not_before=removed.certificate.not_before,
                not_after=removed.certificate.not_after,
                renews_at=None,
                renews_because="removed",
                next_attempt=None,
                failures=0,
                problem=None,
                removed_at=removed.record.removed_at,
                erased_at=removed.erased_at(self._settings.kept_after_removal),
            )
            for removed in self.removed.values()
        ]

    def taken_openings(self) -> list[str]:
        """Return the paths that other users could read, found and closed since the last time."""
        found = list(self._storage.closed_to_others)
        # Threads may have added more meanwhile: only what was seen is taken.
        del self._storage.closed_to_others[: len(found)]
        return found

    async def _disk(self, call: Callable[[], T]) -> T:
        try:
            return await self._runner.run(call, DISK_SECONDS)
        except LeftBehindError as exc:
            raise StorageError(OSError(str(exc)), str(self._storage.root)) from exc
