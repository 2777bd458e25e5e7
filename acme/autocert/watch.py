"""Watch over the entries: start what is due, first where somebody waits, and take in what comes of it.

Theory of operation. One task sleeps until the next moment at which something is due, or until it is woken, and
starts attempts, each a task of its own, so one name's failure never delays another's. State changes are
synchronous and finish before the next await; what is slow (disk, CA) happens in attempts and in the Shelter.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from autocert.attempt import Attempts, Outcome
from autocert.certificate import Certificate
from autocert.clock import Clock
from autocert.entry import NEVER, Entry
from autocert.errors import AutocertError, StorageError, ValidationError
from autocert.files import Signature
from autocert.issuance import Issuer
from autocert.problem import STORAGE_KINDS, Problem
from autocert.renewal import ARI_LONGEST, next_ari_check
from autocert.reports import Reports
from autocert.settings import Authority, Settings
from autocert.shelter import Shelter

_WINDOW_CHECKS_AT_ONCE: Final = 2
# After a failure to ask for the renewal window; what is known of it counts on.
_WINDOW_RETRY: Final = 3600.0
# More than clocks that are kept in step ever differ between two looks.
_CLOCK_WAS_SET: Final = 30.0
_SHORTEST_PAUSE: Final = 0.02


class Examiner(Protocol):
    """Finds out more about a failed validation."""

    async def after_failure(self, name: str, authority: Authority) -> Problem | None:
        """Return what keeps the CA from validating a name, None when nothing is found in time."""


_log = logging.getLogger(__name__)


class Watch:
    """The entries and the task that tends them."""

    def __init__(
        self,
        settings: Settings,
        reports: Reports,
        attempts: Attempts,
        issuer: Issuer,
        shelter: Shelter,
        clock: Clock,
        examiner: Examiner,
    ) -> None:
        self._settings = settings
        self._reports = reports
        self._attempts = attempts
        self._issuer = issuer
        self._shelter = shelter
        self._clock = clock
        self._examiner = examiner
        self._wake = asyncio.Event()
        self._offset = clock.wall() - clock.steady()
        self._next_look = clock.steady() + settings.look_around
        self.entries: dict[str, Entry] = {}

    def wake(self) -> None:
        """Have everything looked at again, soon."""
        self._wake.set()

    async def run(self) -> None:
        """Tend the entries for ever."""
        while True:
            self._wake.clear()
            pause = self._settings.look_around
            try:
                self._follow_clock()
                if self._clock.steady() >= self._next_look:
                    await self.look_around()
                self._begin_attempts()
                self._begin_window_checks()
                pause = self._pause()
            except Exception as error:
                # The root of the task: whatever it was, certificates must go on being renewed.
                _log.error("failed inside while watching over certificates", exc_info=error)
            await self._sleep(pause)

    def adopt(self, entry: Entry, certificate: Certificate, signature: Signature | None) -> None:
        """Serve a certificate from now on."""
        entry.certificate, entry.signature = certificate, signature
        entry.stand_ins.clear()
        self._reports.available(entry.wanted.names, certificate)

    def drop(self, ident: str) -> None:
        """Forget an entry whose names are no longer wanted; an order under way stays on the disk."""
        entry = self.entries.pop(ident)
        for task in (entry.task, entry.checking):
            if task is not None:
                task.cancel()
        entry.tell_waiters()

    async def stop(self) -> None:
        """End all attempts."""
        tasks = [task for e in self.entries.values() for task in (e.task, e.checking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Time

    def _follow_clock(self) -> None:
        """Move all waits with a wall clock that was set, so that they last as long as they were meant to."""
        offset = self._clock.wall() - self._clock.steady()
        moved = offset - self._offset
        if abs(moved) > _CLOCK_WAS_SET:
            for entry in self.entries.values():
                entry.record = entry.record.shifted(moved)
        self._offset = offset

    def _pause(self) -> float:
        now = self._clock.wall()
        moments = [entry.next_attempt(now) for entry in self.entries.values()]
        moments += [entry.next_window_check(now) for entry in self.entries.values()]
        # What is due already waits for a place, and is woken when one is free.
        until_due = min((moment for moment in moments if moment > now), default=NEVER) - now
        until_look = self._next_look - self._clock.steady()
        return max(min(until_due, until_look), _SHORTEST_PAUSE)

    async def _sleep(self, seconds: float) -> None:
        woken = asyncio.ensure_future(self._wake.wait())
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({woken, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()

    # Attempts

    def _begin_attempts(self) -> None:
        now = self._clock.wall()
        due = [entry for entry in self.entries.values() if entry.next_attempt(now) <= now]
        due.sort(key=lambda entry: (entry.waiters == 0, entry.next_attempt(now)))
        running = sum(entry.task is not None for entry in self.entries.values())
        for entry in due:
            # Handshakes wait for some: those have places of their own behind all the others.
            places = self._settings.concurrency * (2 if entry.waiters else 1)
            if running >= places:
                break
            entry.task = asyncio.create_task(self._attempt(entry))
            running += 1

    async def _attempt(self, entry: Entry) -> None:
        try:
            now = self._clock.wall()

            def is_due(certificate: Certificate) -> bool:
                return entry.due(certificate)[0] <= self._clock.wall()

            outcome = await self._attempts.make(
                entry.wanted, entry.certificate, entry.record, is_due, urgent=entry.is_urgent(now)
            )
            outcome = await self._examined(entry, outcome)
            self._conclude(entry, outcome)
        finally:
            entry.task = None
            entry.tell_waiters()
            self.wake()

    async def _examined(self, entry: Entry, outcome: Outcome) -> Outcome:
        """Put what we find out ourselves in place of what the CA says about a failed validation."""
        if not isinstance(outcome.error, ValidationError):
            return outcome
        found = await self._examiner.after_failure(outcome.error.name, entry.wanted.authority)
        said = outcome.record.problem
        if found is None or said is None:
            return outcome
        better = replace(found, detail=said.detail, next_attempt=said.next_attempt)
        record = replace(outcome.record, problem=better)
        entry.record = record
        with suppress(StorageError):
            await self._shelter.save_record(entry)
        return replace(outcome, record=record)

    def _conclude(self, entry: Entry, outcome: Outcome) -> None:
        entry.record = outcome.record
        self._reports.damage(entry.wanted.names[0], outcome.damage, served=entry.certificate is not None)
        certificate = outcome.certificate
        if certificate is not None:
            entry.unsaved = outcome.unsaved
            self.adopt(entry, certificate, outcome.signature)
            if entry.wanted.falls_to_local_ca:
                self._reports.local_ca(entry.wanted.names[0], self._issuer.root_path)
        if outcome.unsaved is not None:
            self._reports.storage(outcome.unsaved)
        if outcome.record.problem is not None and (outcome.error is not None or certificate is not None):
            self._reports.problem(entry.wanted.names, outcome.record.problem)
        if isinstance(outcome.error, StorageError):
            self._reports.storage(outcome.error)

    # Renewal windows

    def _begin_window_checks(self) -> None:
        now = self._clock.wall()
        entries = self.entries.values()
        free = _WINDOW_CHECKS_AT_ONCE - sum(entry.checking is not None for entry in entries)
        for entry in [entry for entry in entries if entry.next_window_check(now) <= now][: max(free, 0)]:
            entry.checking = asyncio.create_task(self._check_window(entry))

    async def _check_window(self, entry: Entry) -> None:
        certificate = entry.certificate
        try:
            if certificate is None:
                return
            now = self._clock.wall()
            known = entry.record.window if entry.record.window_of == certificate.fingerprint else None
            try:
                window, retry_after = await self._issuer.window(entry.wanted, certificate)
                next_check = next_ari_check(now, retry_after)
                if window is None and retry_after is None:
                    next_check = now + ARI_LONGEST
            except (AutocertError, TimeoutError):
                window, next_check = known, now + _WINDOW_RETRY
            entry.record = replace(
                entry.record, window=window, window_of=certificate.fingerprint, next_window_check=next_check
            )
            with suppress(StorageError):
                await self._shelter.save_record(entry)
        finally:
            entry.checking = None
            self.wake()

    # The storage

    async def look_around(self) -> None:
        """See what others have changed in the storage, put back what is missing, write what is unsaved."""
        self._next_look = self._clock.steady() + self._settings.look_around
        try:
            await self._compare()
            await self._shelter.sweep(self.entries)
            if self._reports.storage_problem is not None:
                await self._shelter.try_writing()
                self._storage_is_well()
        except StorageError as error:
            self._reports.storage(error)
        self._reports.found(self._issuer.taken_damage(), self._shelter.taken_openings())
        for refusal in self._issuer.taken_refusals():
            self._reports.problem([""], refusal)

    def _storage_is_well(self) -> None:
        if any(entry.unsaved or entry.unreadable for entry in self.entries.values()):
            return
        self._reports.storage_is_well()
        for entry in self.entries.values():
            problem = entry.record.problem
            if problem is not None and problem.kind in STORAGE_KINDS:
                entry.record = replace(entry.record, backoff=entry.record.backoff.lifted())

    async def _compare(self) -> None:
        signatures = await self._shelter.signatures(self.entries)
        for ident, signature in signatures.items():
            entry = self.entries.get(ident)
            if entry is None or entry.task is not None:
                continue
            if entry.unreadable is not None or (signature is not None and signature != entry.signature):
                await self._reload(entry)
            elif entry.certificate is not None and (entry.unsaved is not None or signature is None):
                await self._save(entry)

    async def _reload(self, entry: Entry) -> None:
        stored = (await self._shelter.load([entry.wanted.ident]))[entry.wanted.ident]
        if entry.task is not None:
            return
        entry.unreadable = stored.error if entry.certificate is None else None
        if stored.error is not None:
            self._reports.storage(stored.error)
            return
        theirs, ours = stored.found.value, entry.certificate
        self._reports.damage(entry.wanted.names[0], stored.found.damage, served=ours is not None)
        if theirs is not None and ours is not None and theirs.fingerprint == ours.fingerprint:
            entry.signature, entry.unsaved = stored.found.signature, None
        elif theirs is not None and (ours is None or theirs.is_later_than(ours, self._clock.wall())):
            entry.unsaved = None
            entry.record = replace(stored.record, names=entry.wanted.names, removed_at=0.0)
            self.adopt(entry, theirs, stored.found.signature)
            entry.tell_waiters()
        elif ours is not None:
            await self._save(entry)

    async def _save(self, entry: Entry) -> None:
        entry.unsaved = await self._shelter.save(entry)
        if entry.unsaved is not None:
            self._reports.storage(entry.unsaved)
