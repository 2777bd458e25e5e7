"""Decide when to renew, when to try again and what state a certificate is in. Pure: time is an argument.

All times are wall seconds since the epoch, all spans are seconds.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

DAY: Final = 86400.0
SHORT_LIFETIME: Final = 10 * DAY

# Let's Encrypt's advice after a failure: 1, 10, 100 minutes, then once a day.
AFTER_FAILURE: Final = (60.0, 600.0, 6000.0, DAY)
# Nothing reached the CA, so nothing was counted: an outage of an hour must not cost a day without https.
AFTER_NO_ANSWER: Final = (60.0, 60.0, 120.0, 300.0, 600.0)
# A CA that asks for more patience than this has sent nonsense, or a date from another clock.
LONGEST_RETRY_AFTER: Final = 8 * DAY

# RFC 9773 section 4.3.2: six hours by default; Let's Encrypt asks for at least two checks a day.
ARI_INTERVAL: Final = 6 * 3600.0
ARI_SHORTEST: Final = 60.0
ARI_LONGEST: Final = 12 * 3600.0
LONGEST_REST: Final = 6 * 3600.0
# Pieces of the lifetime over which renewals without ARI are spread.
SPREAD: Final = 0.05


class State(Enum):
    """The states of one certificate."""

    ABSENT = "absent"
    ISSUING = "issuing"
    VALID = "valid"
    DUE = "due"
    BACKOFF = "backoff"
    EXPIRED = "expired"


class Reason(Enum):
    """Why a certificate is renewed when it is."""

    ARI = "the CA's suggested window"
    SHARE = "two thirds of its lifetime"
    HALF = "half of its short lifetime"
    REQUESTED = "requested"
    MOVED = "another CA is configured"
    MISSING = "no certificate yet"


@dataclass(frozen=True, slots=True)
class Window:
    """The CA's suggested renewal window (RFC 9773 section 4.2)."""

    start: float
    end: float

    @property
    def usable(self) -> bool:
        """Tell whether the window is one: its end is after its start (section 4.2)."""
        return self.end > self.start


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From when to when a certificate is valid, and a text that identifies it among all."""

    certificate: str
    not_before: float
    not_after: float

    @property
    def span(self) -> float:
        """Return the length of the lifetime."""
        return max(self.not_after - self.not_before, 0.0)


def stable_fraction(*parts: str) -> float:
    """Return a number in [0, 1) that the same parts always give, in every process and on every replica."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def renewal_moment(lifetime: Lifetime, window: Window | None) -> tuple[float, Reason]:
    """Choose the moment from which the certificate is due.

    The CA's window counts when it opens before the certificate ends; the moment in it hangs on certificate
    and window alone, so it stays put however often it is asked for. Without a window it is 2/3 of the
    lifetime, 1/2 under ten days, and a little earlier by a share that differs among certificates.
    """
    if window is not None and window.usable and window.start < lifetime.not_after:
        share = stable_fraction(lifetime.certificate, f"{window.start:.0f}", f"{window.end:.0f}")
        moment = window.start + share * (window.end - window.start)
        if moment < lifetime.not_after:
            return moment, Reason.ARI
    short = lifetime.span < SHORT_LIFETIME
    part = 1 / 2 if short else 2 / 3
    part -= SPREAD * stable_fraction(lifetime.certificate, "spread")
    return lifetime.not_before + part * lifetime.span, Reason.HALF if short else Reason.SHARE


def is_urgent(lifetime: Lifetime | None, now: float) -> bool:
    """Tell whether it is in its last tenth, when it is renewed even if nothing can be kept on disk."""
    return lifetime is not None and now >= lifetime.not_after - lifetime.span / 10


def next_ari_check(now: float, retry_after: float | None) -> float:
    """Return when to ask for the renewal window again; a CA's wish counts within sane bounds."""
    interval = ARI_INTERVAL if retry_after is None else retry_after
    return now + min(max(interval, ARI_SHORTEST), ARI_LONGEST)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often in a row it has failed, and from when to when nothing is tried."""

    failures: int = 0
    unanswered: int = 0
    since: float = 0.0
    until: float = 0.0

    def after_failure(self, now: float, retry_after: float | None, key: str) -> "Backoff":
        """Return the wait after the CA refused or could not validate."""
        return replace(
            self,
            failures=self.failures + 1,
            unanswered=0,
            since=now,
            until=now + _delay(AFTER_FAILURE, self.failures, retry_after, key),
        )

    def after_no_answer(self, now: float, retry_after: float | None, key: str) -> "Backoff":
        """Return the wait after the CA could not be reached; failures that the CA counted stay counted."""
        return replace(
            self,
            unanswered=self.unanswered + 1,
            since=now,
            until=now + _delay(AFTER_NO_ANSWER, self.unanswered, retry_after, key),
        )

    @property
    def is_rest(self) -> bool:
        """Tell whether nothing has failed: it is the rest after a success, or no wait at all."""
        return not self.failures and not self.unanswered

    def lifted(self, *, forgets: bool = False) -> "Backoff":
        """Return it without the wait, which somebody has lifted, or with nothing but its start."""
        counts = (0, 0) if forgets else (self.failures, self.unanswered)
        return Backoff(*counts, since=self.since)

    def at(self, now: float) -> "Backoff":
        """Return the wait as seen at `now`: a start in the future means the clock was set back since."""
        if self.since <= now:
            return self
        return self.shifted(now - self.since)

    def shifted(self, seconds: float) -> "Backoff":
        """Return the wait moved with a clock that was set."""
        if not self.until:
            return self
        return replace(self, since=self.since + seconds, until=self.until + seconds)


def clock_is_wrong(lifetime: Lifetime, now: float) -> bool:
    """Tell whether a certificate that was issued just now is dated as if it had not been."""
    return not lifetime.not_before - DAY <= now <= lifetime.not_before + max(lifetime.span / 4, DAY / 12)


def rest_after_success(lifetime: Lifetime, now: float) -> Backoff:
    """Return the wait after a certificate was had.

    Whatever the dates in it, the CA's window or our clock say, the next is not ordered before a twentieth of the
    lifetime, or 6 hours, has passed: a renewal that names its predecessor counts against no limit, so nothing
    else would end a loop. With a wrong clock every certificate may look due, and a day is waited.
    """
    rest = DAY if clock_is_wrong(lifetime, now) else min(SPREAD * lifetime.span, LONGEST_REST)
    return Backoff(since=now, until=now + rest)


def _delay(steps: Sequence[float], failures: int, retry_after: float | None, key: str) -> float:
    step = steps[min(failures, len(steps) - 1)]
    # Names that failed together must not come back together: up to a twentieth later.
    step *= 1 + SPREAD * stable_fraction(key, str(failures))
    return max(step, min(retry_after or 0.0, LONGEST_RETRY_AFTER))


def state_of(
    lifetime: Lifetime | None, due_at: float, backoff: Backoff, *, issuing: bool, now: float
) -> State:
    """Name the state of a certificate; `due_at` is what `renewal_moment` or a request to renew gave."""
    if issuing:
        return State.ISSUING
    waiting = backoff.at(now).until > now
    if lifetime is None:
        return State.BACKOFF if waiting else State.ABSENT
    if now >= lifetime.not_after:
        return State.EXPIRED
    if now < due_at:
        return State.VALID
    return State.BACKOFF if waiting else State.DUE


def next_attempt(lifetime: Lifetime | None, due_at: float, backoff: Backoff, now: float) -> float:
    """Return when to order next, `now` or earlier meaning at once."""
    wanted_from = now if lifetime is None else min(due_at, lifetime.not_after)
    return max(wanted_from, backoff.at(now).until)
