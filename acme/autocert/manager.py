"""The certificate manager: the one place that is told which names are wanted and asked how they stand."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from autocert.any_name import AnyName
from autocert.attempt import Attempts
from autocert.certificate import Certificate
from autocert.diagnose import Diagnosis
from autocert.entry import Entry, Status
from autocert.errors import StorageError
from autocert.examiner import Examiner
from autocert.explain import explain
from autocert.issuance import CaIssuer
from autocert.listener import Listener
from autocert.problem import Kind, Problem, problem
from autocert.renewal import DAY, Backoff
from autocert.reports import Reports
from autocert.settings import ANY_NAME, Authority, Settings, Wanted
from autocert.shelter import Shelter, Stored
from autocert.storage import Storage
from autocert.surroundings import Surroundings
from autocert.threads import LeftBehindError
from autocert.watch import Watch


class Autocert:
    """Obtains, keeps and renews certificates, and tells a listener about them.

    All methods belong to one event loop; `surroundings` is for tests.
    """

    def __init__(
        self, settings: Settings, listener: Listener, surroundings: Surroundings | None = None
    ) -> None:
        around = surroundings or Surroundings()
        self._settings = settings
        self._clock = around.clock
        storage = Storage(settings.storage, around.disk)
        self._issuer = CaIssuer(settings, listener, storage, around)
        self._reports = Reports(listener)
        self._shelter = Shelter(settings, storage, around.runner, around.clock)
        attempts = Attempts(settings, self._issuer, storage=storage, runner=around.runner, clock=around.clock)
        self._examiner = Examiner(settings, self._issuer, around)
        self._watch = Watch(
            settings, self._reports, attempts, self._issuer, self._shelter, self._clock, self._examiner
        )
        self._by_name: dict[str, Entry] = {}
        self._any_name = AnyName(self._issuer, self._clock)
        self._wanting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the storage ready and begin to tend what is wanted; a storage that fails is reported, not fatal."""
        error = await self._shelter.prepare()
        if error is not None:
            self._reports.storage(error)
        self._task = asyncio.create_task(self._watch.run())

    async def close(self) -> None:
        """End everything that is under way; orders that were placed are gone on with after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._watch.stop()

    async def want(self, sets: Iterable[Wanted]) -> None:
        """Say what is wanted from now on, all of it; return when what is stored of it is being served.

        Raises SettingsError, nothing being changed then.
        """
        each = [one for wanted in sets for one in wanted.each()]
        async with self._wanting:
            wanted = _by_identifier(each)
            gone = [ident for ident in self._watch.entries if ident not in wanted]
            for ident in gone:
                self._watch.drop(ident)
            fresh = [ident for ident in wanted if ident not in self._watch.entries]
            stored = await self._shelter.load(fresh)
            for ident, one in wanted.items():
                entry = self._watch.entries.get(ident)
                if entry is None:
                    self._admit(one, stored[ident])
                elif entry.wanted != one:
                    entry.want(one)
                    # What failed under other settings may work now.
                    lifted = entry.record.backoff.lifted(forgets=True)
                    entry.record = replace(entry.record, backoff=lifted, problem=None)
            entries = self._watch.entries.values()
            self._by_name = {name: entry for entry in entries for name in entry.wanted.names}
            await self._sweep(gone)
            await self._announce_thumbprints()
        self._watch.wake()

    def certificate(self, name: str) -> Certificate | None:
        """Return what is served for a name now."""
        entry = self._entry(name)
        return entry.serving(name) if entry else None

    async def wait_for(self, name: str, seconds: float) -> Certificate | Problem:
        """Return a certificate for the name as soon as there is one, or why there is none after `seconds`.

        All who wait share one order; whoever is cancelled cancels his wait alone. What is known to go on
        failing for longer than that is told at once.
        """
        entry = self._entry(name)
        if entry is None:
            any_name = self._by_name.get(ANY_NAME)
            return (
                problem(Kind.NOT_WANTED, name)
                if any_name is None
                else await self._any_name.get(name, any_name)
            )
        ends = self._clock.steady() + seconds
        entry.waiters += 1
        try:
            while (certificate := entry.serving(_normal(name))) is None:
                self._watch.wake()
                remaining = ends - self._clock.steady()
                wait = entry.record.backoff.until - self._clock.wall()
                known = entry.record.problem if entry.task is None else None
                hopeless = entry.unreadable is not None or (known is not None and wait > remaining)
                if remaining <= 0 or hopeless:
                    return self._why_not(entry)
                await self._either(entry, remaining)
        finally:
            entry.waiters -= 1
        return certificate

    async def renew(self, name: str, seconds: float) -> Certificate | Problem:
        """Order a new certificate now, whatever wait is in force; return it, or what is in the way."""
        entry = self._entry(name)
        if entry is None:
            return problem(Kind.NOT_WANTED, name)
        served = entry.certificate.fingerprint if entry.certificate else ""
        lifted = entry.record.backoff.lifted()
        entry.record = replace(entry.record, requested=served, backoff=lifted, problem=None)
        ends = self._clock.steady() + seconds
        entry.waiters += 1
        try:
            while (remaining := ends - self._clock.steady()) > 0:
                self._watch.wake()
                await self._either(entry, remaining)
                if entry.certificate is not None and entry.certificate.fingerprint != served:
                    return entry.certificate
                if entry.record.problem is not None:
                    break
        finally:
            entry.waiters -= 1
        return self._why_not(entry)

    async def restore(self, name: str) -> Certificate | Problem:
        """Go back to the certificate before the present one, or keep a removed one from being erased."""
        entry = self._entry(name)
        try:
            if entry is not None:
                return await self._go_back(entry)
            for ident, removed in self._shelter.removed.items():
                if _normal(name) in removed.certificate.names:
                    await self._shelter.keep(ident)
                    return removed.certificate
        except StorageError as error:
            return explain(error, name, Authority(), str(self._settings.storage), self._clock.wall())
        return problem(Kind.NOT_WANTED, name)

    def statuses(self) -> tuple[Status, ...]:
        """Return how every certificate stands, the removed ones after the others."""
        now = self._clock.wall()
        entries = self._watch.entries.values()
        return (*(entry.status(now) for entry in entries), *self._shelter.removed_statuses())

    @property
    def storage_problem(self) -> Problem | None:
        """What is wrong with the storage folder now."""
        return self._reports.storage_problem

    async def diagnose(self, name: str) -> Diagnosis:
        """Find out why a name gets no certificate; takes some seconds."""
        entry = self._entry(name)
        if entry is None:
            return Diagnosis(name, (problem(Kind.NOT_WANTED, name),), ())
        return await self._examiner.diagnose(_normal(name), entry)

    # What the above is made of

    def _entry(self, name: str) -> Entry | None:
        return self._by_name.get(_normal(name))

    def _admit(self, wanted: Wanted, stored: Stored) -> None:
        entry = Entry(wanted)
        found = stored.found
        entry.unreadable = stored.error
        entry.record = replace(stored.record, names=wanted.names, removed_at=0.0, kept=False)
        self._watch.entries[wanted.ident] = entry
        if stored.error is not None:
            self._reports.storage(stored.error)
        if found.value is not None:
            self._watch.adopt(entry, found.value, found.signature)
        self._reports.damage(wanted.names[0], found.damage, served=False, replaced=found.value is not None)

    async def _sweep(self, gone: list[str]) -> None:
        try:
            await self._shelter.sweep(self._watch.entries, now_removed=gone or ["at start"])
        except StorageError as error:
            self._reports.storage(error)
        # A name that has moved into another certificate is served with its old one meanwhile.
        for entry in self._watch.entries.values():
            for name in entry.wanted.names if entry.certificate is None else ():
                stored = [one.certificate for one in self._shelter.removed.values()]
                covering = [one for one in stored if one.covers([name]) and name not in entry.stand_ins]
                if covering:
                    entry.stand_ins[name] = max(covering, key=lambda one: one.not_after)
                    self._reports.available([name], entry.stand_ins[name])

    async def _announce_thumbprints(self) -> None:
        names: dict[Authority, list[str]] = {}
        for entry in self._watch.entries.values():
            if not entry.wanted.is_local:
                names.setdefault(entry.wanted.authority, []).extend(entry.wanted.names)
        self._issuer.contacts.want(names)
        for authority, of_it in names.items():
            try:
                await self._issuer.prepare(authority, tuple(of_it))
            except StorageError as error:
                self._reports.storage(error)
            except LeftBehindError as error:
                self._reports.storage(StorageError(OSError(str(error)), str(self._settings.storage)))

    async def _either(self, entry: Entry, seconds: float) -> None:
        """Wait for the end of an attempt, or so many seconds."""
        changed = asyncio.ensure_future(entry.change())
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({changed, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            slept.cancel()

    def _why_not(self, entry: Entry) -> Problem:
        if entry.unreadable is not None and self._reports.storage_problem is not None:
            return self._reports.storage_problem
        if entry.record.problem is not None:
            return entry.record.problem
        return problem(Kind.CA_SLOW, entry.wanted.names[0], ca=entry.wanted.authority.name)

    async def _go_back(self, entry: Entry) -> Certificate | Problem:
        found = await self._shelter.exchange(entry.wanted.ident)
        if found.value is None:
            return problem(Kind.NO_PREVIOUS, entry.wanted.names[0])
        self._watch.adopt(entry, found.value, found.signature)
        now = self._clock.wall()
        # Its renewal may be due: a day is enough to find out what was wrong with the other one.
        until = now + DAY if found.value.not_after > now + DAY else 0.0
        entry.record = replace(entry.record, requested="", backoff=Backoff(since=now, until=until))
        await self._shelter.save_record(entry)
        return found.value


def _normal(name: str) -> str:
    return name.lower().removesuffix(".")


def _by_identifier(each: Iterable[Wanted]) -> dict[str, Wanted]:
    """Return what is wanted by folder name; a name belongs to the first that wants it."""
    found: dict[str, Wanted] = {}
    taken: set[str] = set()
    for one in each:
        names = tuple(name for name in one.names if name not in taken)
        if names:
            own = replace(one, names=names)
            found[own.ident] = own
            taken.update(names)
    return found
