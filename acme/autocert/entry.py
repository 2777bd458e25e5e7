"""One wanted certificate in the manager's hands, and how it is shown to people."""

import asyncio
from dataclasses import dataclass
from typing import Final

from autocert.certificate import LOCAL, Certificate
from autocert.errors import StorageError
from autocert.files import Signature
from autocert.problem import Problem
from autocert.record import Record
from autocert.renewal import ARI_LONGEST, Reason, State, is_urgent, next_attempt, renewal_moment, state_of
from autocert.settings import Wanted

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `certs` and `status` show of one certificate; times are wall seconds, None where there is none."""

    names: tuple[str, ...]
    state: State
    origin: str
    issuer: str
    not_before: float | None
    not_after: float | None
    renews_at: float | None
    renews_because: str
    next_attempt: float | None
    failures: int
    problem: Problem | None
    is_saved: bool = True
    removed_at: float | None = None
    erased_at: float | None = None


class Entry:
    """A wanted certificate; changed by the manager alone, synchronously."""

    __slots__ = (
        "_ended",
        "certificate",
        "checking",
        "origin",
        "record",
        "signature",
        "stand_ins",
        "task",
        "unreadable",
        "unsaved",
        "waiters",
        "wanted",
    )

    def __init__(self, wanted: Wanted) -> None:
        self.want(wanted)
        self.certificate: Certificate | None = None
        self.signature: Signature | None = None
        self.record = Record(names=wanted.names)
        # The storage could not be read, so nobody knows whether there is a certificate: nothing is ordered.
        self.unreadable: StorageError | None = None
        # The certificate is in memory alone.
        self.unsaved: StorageError | None = None
        # Other stored certificates that cover a name while this one is missing.
        self.stand_ins: dict[str, Certificate] = {}
        self.task: asyncio.Task[None] | None = None
        self.checking: asyncio.Task[None] | None = None
        self.waiters = 0
        self._ended = asyncio.Event()

    def want(self, wanted: Wanted) -> None:
        """Want the same names under these settings."""
        self.wanted = wanted
        # Where its certificate ought to come from; asked for at every look, so worked out once.
        self.origin = LOCAL if wanted.is_local else wanted.authority.url

    def serving(self, name: str) -> Certificate | None:
        """Return what is served for the name, a certificate past its date included."""
        return self.certificate or self.stand_ins.get(name)

    def due(self, certificate: Certificate) -> tuple[float, Reason]:
        """Return from when on, and why, a certificate of these names has to be renewed."""
        if certificate.origin != self.origin:
            return 0.0, Reason.MOVED
        if self.record.requested == certificate.fingerprint:
            return 0.0, Reason.REQUESTED
        window = self.record.window if self.record.window_of == certificate.fingerprint else None
        return renewal_moment(certificate.lifetime, window)

    def next_attempt(self, now: float) -> float:
        """Return when to try to get a certificate, NEVER while that would be unwise."""
        if self.unreadable is not None or self.task is not None:
            return NEVER
        backoff = self.record.backoff
        if self.certificate is None:
            # The rest after a success is for those who have what they rest with.
            return now if backoff.is_rest else next_attempt(None, 0.0, backoff, now)
        moment, _ = self.due(self.certificate)
        return next_attempt(self.certificate.lifetime, moment, backoff, now)

    def next_window_check(self, now: float) -> float:
        """Return when to ask for the CA's renewal window."""
        certificate = self.certificate
        if certificate is None or self.checking is not None or self.task is not None:
            return NEVER
        if self.origin == LOCAL or not certificate.ari_id or certificate.origin != self.origin:
            return NEVER
        if self.record.window_of != certificate.fingerprint:
            return now
        # A moment further away than any that is chosen comes from a clock that was ahead.
        return min(self.record.next_window_check, now + ARI_LONGEST)

    def is_urgent(self, now: float) -> bool:
        """Tell whether it has to be renewed even if nothing can be kept on the disk."""
        return self.certificate is not None and is_urgent(self.certificate.lifetime, now)

    def tell_waiters(self) -> None:
        """Wake everybody who waits for the end of an attempt."""
        self._ended.set()
        self._ended = asyncio.Event()

    async def change(self) -> None:
        """Wait for the end of the next attempt."""
        await self._ended.wait()

    def status(self, now: float) -> Status:
        """Return how it stands."""
        certificate = self.certificate
        lifetime = certificate.lifetime if certificate else None
        moment, reason = self.due(certificate) if certificate else (now, Reason.MISSING)
        backoff = self.record.backoff
        state = state_of(lifetime, moment, backoff, issuing=self.task is not None, now=now)
        attempt = self.next_attempt(now)
        return Status(
            names=self.wanted.names,
            state=state,
            origin=certificate.origin if certificate else self.origin,
            issuer=certificate.issuer if certificate else "",
            not_before=certificate.not_before if certificate else None,
            not_after=certificate.not_after if certificate else None,
            renews_at=moment if certificate else None,
            renews_because=reason.value,
            next_attempt=None if attempt == NEVER else attempt,
            failures=backoff.failures + backoff.unanswered,
            problem=self.record.problem,
            is_saved=self.unsaved is None,
        )
