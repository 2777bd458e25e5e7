"""Try once to get one certificate, as the only process on the storage that does so for these names."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from errno import EBUSY
from functools import partial
from typing import Final, TypeVar

from autocert.certificate import Certificate
from autocert.client import DISK_SECONDS
from autocert.clock import Clock
from autocert.errors import AutocertError, StorageError
from autocert.explain import explain, is_unanswered, moment, wait_of
from autocert.files import Signature
from autocert.issuance import Issuer
from autocert.problem import Kind, Problem
from autocert.problem import problem as problem_of
from autocert.record import Record
from autocert.renewal import Backoff, clock_is_wrong, rest_after_success
from autocert.settings import Settings, Wanted
from autocert.shelf import Damage
from autocert.storage import Lock, Storage
from autocert.threads import Runner

T = TypeVar("T")

_LOOK_AGAIN: Final = 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt.

    `certificate` is None when there is no new one; `unsaved` is the storage's problem when the certificate lives
    in memory alone; `error` is what the record's problem was made from.
    """

    record: Record
    certificate: Certificate | None = None
    signature: Signature | None = None
    unsaved: StorageError | None = None
    error: Exception | None = None
    damage: tuple[Damage, ...] = ()


class Attempts:
    """Makes attempts; `is_due` tells of a stored certificate whether it is still wanted to be replaced."""

    def __init__(
        self, settings: Settings, issuer: Issuer, *, storage: Storage, runner: Runner, clock: Clock
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._storage = storage
        self._runner = runner
        self._clock = clock

    async def make(
        self,
        wanted: Wanted,
        served: Certificate | None,
        record: Record,
        is_due: Callable[[Certificate], bool],
        *,
        urgent: bool,
    ) -> Outcome:
        """Try once; every error of ours becomes part of the outcome, with the wait until the next attempt."""
        try:
            lock = await self._lock(wanted, is_due, urgent=urgent)
        except Exception as error:
            return await self._failed(wanted, record, error)
        if isinstance(lock, Outcome):
            return replace(lock, record=replace(lock.record, names=wanted.names))
        try:
            return await self._make_alone(wanted, served, record, is_due, urgent=urgent)
        except Exception as error:
            return await self._failed(wanted, record, error)
        finally:
            if lock is not None:
                lock.release()

    async def _make_alone(
        self,
        wanted: Wanted,
        served: Certificate | None,
        record: Record,
        is_due: Callable[[Certificate], bool],
        *,
        urgent: bool,
    ) -> Outcome:
        now = self._clock.wall()
        found = await self._disk(partial(self._storage.load, wanted.ident, now))
        if found.value is not None and not is_due(found.value):
            kept = replace(record, backoff=Backoff(), problem=None, requested="")
            return Outcome(
                record=kept, certificate=found.value, signature=found.signature, damage=found.damage
            )
        stored = await self._disk(partial(self._storage.load_record, wanted.ident, now))
        if _is_wait_of_another(stored.backoff, record.backoff, now) and not record.requested:
            return Outcome(record=stored, damage=found.damage)
        begun = replace(record, names=wanted.names, removed_at=0.0)
        try:
            # Also a trial whether anything can be kept at all, before the CA counts anything.
            await self._disk(partial(self._storage.save_record, wanted.ident, begun))
        except StorageError:
            if not urgent:
                raise
        certificate = await self._issuer.issue(wanted, found.value or served, urgent=urgent)
        return await self._kept(wanted, certificate, begun, found.damage)

    async def _kept(
        self, wanted: Wanted, certificate: Certificate, record: Record, damage: tuple[Damage, ...]
    ) -> Outcome:
        now = self._clock.wall()
        rest = rest_after_success(certificate.lifetime, now)
        problem = None
        if clock_is_wrong(certificate.lifetime, now):
            ours, theirs = moment(now), moment(certificate.not_before)
            problem = problem_of(Kind.CLOCK, wanted.names[0], when=theirs, ours=ours)
        done = Record(names=wanted.names, kept=record.kept, backoff=rest, problem=problem)
        try:
            signature = await self._disk(partial(self._storage.save, wanted.ident, certificate))
            await self._disk(partial(self._storage.save_record, wanted.ident, done))
        except (StorageError, TimeoutError) as error:
            cause = error if isinstance(error, StorageError) else _hanging(self._storage)
            return Outcome(record=done, certificate=certificate, unsaved=cause, damage=damage)
        return Outcome(record=done, certificate=certificate, signature=signature, damage=damage)

    async def _lock(
        self, wanted: Wanted, is_due: Callable[[Certificate], bool], *, urgent: bool
    ) -> Lock | Outcome | None:
        """Wait for our turn; return the lock, or what another process has got meanwhile.

        None, in an urgent case, when the disk does not even take a lock.
        """
        ends = self._clock.steady() + self._settings.order_seconds + self._settings.call_seconds
        seen = None
        while True:
            try:
                lock = await self._disk(partial(self._storage.try_lock, wanted.ident))
            except StorageError:
                if not urgent:
                    raise
                return None
            if lock is not None:
                return lock
            signature = await self._disk(partial(self._storage.signature, wanted.ident))
            if signature is not None and signature != seen:
                seen = signature
                found = await self._disk(partial(self._storage.load, wanted.ident, self._clock.wall()))
                if found.value is not None and not is_due(found.value):
                    return Outcome(record=Record(), certificate=found.value, signature=found.signature)
            if self._clock.steady() > ends:
                raise StorageError(OSError(EBUSY, "another process orders for ever"), str(self._storage.root))
            await self._clock.sleep(_LOOK_AGAIN)

    async def _failed(self, wanted: Wanted, record: Record, error: Exception) -> Outcome:
        now = self._clock.wall()
        if not isinstance(error, AutocertError | TimeoutError):
            _log.error("failed inside while getting %s", wanted.ident, exc_info=error)
        wait = wait_of(error, now)
        backoff = record.backoff.at(now)
        if is_unanswered(error):
            backoff = backoff.after_no_answer(now, wait, wanted.ident)
        else:
            backoff = backoff.after_failure(now, wait, wanted.ident)
        problem = self.problem_of(error, wanted, now).again_at(backoff.until)
        failed = replace(record, names=wanted.names, backoff=backoff, problem=problem, requested="")
        # When the disk fails the wait is kept in memory alone.
        with suppress(StorageError, TimeoutError):
            await self._disk(partial(self._storage.save_record, wanted.ident, failed))
        return Outcome(record=failed, error=error)

    def problem_of(self, error: Exception, wanted: Wanted, now: float) -> Problem:
        """Return the problem that an error is for what is wanted."""
        return explain(error, wanted.names[0], wanted.authority, str(self._storage.root), now)

    async def _disk(self, call: Callable[[], T]) -> T:
        return await self._runner.run(call, DISK_SECONDS)


def _is_wait_of_another(stored: Backoff, ours: Backoff, now: float) -> bool:
    """Tell whether another process has failed since we last knew; its wait is ours then.

    One that begins in the future does not count: it is ours, from before somebody set the clock back.
    """
    return not stored.is_rest and stored.until > now and ours.since < stored.since <= now


def _hanging(storage: Storage) -> StorageError:
    return StorageError(OSError(EBUSY, "the disk does not answer"), str(storage.root))
