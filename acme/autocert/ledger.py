"""Keep what was asked of a CA below its limits, over restarts too. Pure: time is an argument.

An entry is a time under a key; a limit allows so many entries of a key within a span. Everything is written
down before it is asked for, so that a crash in between errs on the side of having asked. The file also says
how far wall and boot clock were apart when it was written: when somebody has set the clock since, all entries
move with it and keep their age. Several processes may do that, since it is done by what the file says.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from autocert import envelope
from autocert.errors import BudgetError, WrongCertificateError
from autocert.names import registered_domain

KIND: Final = "ledger"
HOUR: Final = 3600.0
WEEK: Final = 7 * 86400.0
# Clocks that are only kept in step differ by less between two writes.
CLOCK_WAS_SET: Final = 30.0


@dataclass(frozen=True, slots=True)
class Limit:
    """So many in so many seconds."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Our own budget at one CA; None where we set none."""

    orders: Limit | None
    certificates: Limit | None
    exact_set: Limit | None
    failures: Limit | None
    accounts: Limit | None


# Let's Encrypt allows 300 orders / 3 h, 50 certificates a registered domain and 5 an exact set / 7 d,
# 5 failures a name / h, 10 accounts / 3 h. We stay a tenth, at least one, below, since what is ordered by hand needs
# room too; and of accounts one is enough.
LETS_ENCRYPT: Final = Limits(
    orders=Limit(270, 3 * HOUR),
    certificates=Limit(45, WEEK),
    exact_set=Limit(4, WEEK),
    failures=Limit(4, HOUR),
    accounts=Limit(5, 3 * HOUR),
)
# Of other CAs no limits are known: only what no sound installation ever reaches.
OTHERS: Final = Limits(
    orders=Limit(1000, 3 * HOUR),
    certificates=None,
    exact_set=None,
    failures=Limit(10, HOUR),
    accounts=Limit(5, 3 * HOUR),
)


def limits_of(directory: str) -> Limits:
    """Return the budget at the CA with this directory URL."""
    host = urlsplit(directory).hostname or ""
    return LETS_ENCRYPT if host == "letsencrypt.org" or host.endswith(".letsencrypt.org") else OTHERS


@dataclass(frozen=True, slots=True)
class Charge:
    """One entry to be made, or only looked for: `wording` names the limit for people."""

    key: str
    limit: Limit
    wording: str


def order_charges(directory: str, limits: Limits) -> list[Charge]:
    """Return what an order is charged with."""
    return _charges([(f"orders {directory}", limits.orders, "orders in three hours")])


def certificate_charges(directory: str, names: Sequence[str], limits: Limits) -> list[Charge]:
    """Return what a certificate is charged with: its exact set of names and each registered domain."""
    exact = ",".join(sorted(names))
    domains = sorted({registered_domain(name) for name in names})
    return _charges(
        [
            (f"set {directory} {exact}", limits.exact_set, "certificates for the same names in a week"),
            *(
                (
                    f"domain {directory} {domain}",
                    limits.certificates,
                    f"certificates under {domain} in a week",
                )
                for domain in domains
            ),
        ]
    )


def failure_charges(directory: str, names: Iterable[str], limits: Limits) -> list[Charge]:
    """Return what failed validations are charged with."""
    return _charges(
        [
            (f"failure {directory} {name}", limits.failures, f"failed validations of {name} in an hour")
            for name in names
        ]
    )


def account_charges(directory: str, limits: Limits) -> list[Charge]:
    """Return what a new account is charged with."""
    return _charges([(f"accounts {directory}", limits.accounts, "new accounts in three hours")])


def _charges(entries: Sequence[tuple[str, Limit | None, str]]) -> list[Charge]:
    return [Charge(key, limit, wording) for key, limit, wording in entries if limit is not None]


class Ledger:
    """The entries; the spans of their limits are kept with them so that old ones can be dropped."""

    def __init__(
        self, entries: dict[str, list[float]] | None = None, boot: str = "", offset: float = 0
    ) -> None:
        self._entries = entries or {}
        self._boot = boot
        self._offset = offset

    def align(self, boot: str, offset: float) -> None:
        """Move the entries with the clock: `offset` is wall less boot clock now, `boot` says which boot."""
        if self._boot == boot and abs(offset - self._offset) > CLOCK_WAS_SET:
            moved = offset - self._offset
            self._entries = {key: [when + moved for when in times] for key, times in self._entries.items()}
        elif self._boot == boot:
            return
        self._boot, self._offset = boot, offset

    def merge(self, other: "Ledger") -> None:
        """Take over the entries of another copy of the same ledger that are missing here."""
        for key, times in other._entries.items():
            self._entries[key] = sorted({*times, *self._entries.get(key, [])})

    def check(self, charges: Iterable[Charge], now: float) -> None:
        """Raise BudgetError when one of the charges would go over its limit."""
        for charge in charges:
            recent = self._recent(charge, now)
            if len(recent) >= charge.limit.count:
                # Allowed again when all but count-1 of the recent entries have left the span.
                frees_at = sorted(recent)[-charge.limit.count] + charge.limit.seconds
                raise BudgetError(charge.wording, frees_at)

    def enter(self, charges: Iterable[Charge], now: float) -> None:
        """Write the charges down."""
        for charge in charges:
            self._entries[charge.key] = [*self._recent(charge, now), now]

    def withdraw(self, charges: Iterable[Charge], made_at: float) -> None:
        """Take back charges that were made at that time and led to nothing."""
        for charge in charges:
            self._entries[charge.key].remove(made_at)

    def _recent(self, charge: Charge, now: float) -> list[float]:
        # An entry of the future was made while the clock was ahead: it counts as made now.
        times = [min(when, now) for when in self._entries.get(charge.key, [])]
        return [when for when in times if when > now - charge.limit.seconds]

    def sealed(self, now: float) -> bytes:
        """Return the file that holds the entries that can still matter."""
        recent = {
            key: kept
            for key, times in self._entries.items()
            if (kept := [min(when, now) for when in times if when > now - WEEK])
        }
        content = {"boot": self._boot, "offset": self._offset, "entries": recent}
        return envelope.seal(KIND, json.dumps(content).encode())


def unsealed(content: bytes) -> Ledger:
    """Return the ledger that a file holds; raises WrongCertificateError when it is damaged."""
    try:
        fields = json.loads(envelope.unseal(KIND, content))
        entries = {str(key): [float(when) for when in times] for key, times in fields["entries"].items()}
        return Ledger(entries, str(fields["boot"]), float(fields["offset"]))
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise WrongCertificateError("the ledger is not readable") from exc
