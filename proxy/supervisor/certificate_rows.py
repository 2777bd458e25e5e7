"""How a certificate is shown: in `certs`, on the status page, to the admin API and as metrics."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.admin.operations import Document
from proxy.supervisor.certificate_problems import CertificateProblem, translated
from proxy.supervisor.moments import moment
from proxy.telemetry.metrics import CertificateObservation

if TYPE_CHECKING:
    from autocert.entry import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRow:
    """One certificate, or the lack of it; moments are Unix time, None where there is none.

    `mode` is that of the site, "" for a certificate that no site wants any more; `state` is one of autocert's.
    """

    names: tuple[str, ...]
    mode: str
    state: str
    issuer: str = ""
    not_before: float | None = None
    not_after: float | None = None
    renews_at: float | None = None
    renews_because: str = ""
    next_attempt: float | None = None
    failures: int = 0
    problem: CertificateProblem | None = None
    is_saved: bool = True
    removed_at: float | None = None
    erased_at: float | None = None

    def document(self) -> Document:
        """Describe it for the admin API."""
        return {
            "name": self.names[0],
            "names": list(self.names),
            "mode": self.mode,
            "state": self.state,
            "issuer": self.issuer,
            "not_before": moment(self.not_before),
            "not_after": moment(self.not_after),
            "renews_at": moment(self.renews_at),
            "renews_because": self.renews_because,
            "next_attempt": moment(self.next_attempt),
            "failures": self.failures,
            "saved": self.is_saved,
            "removed_at": moment(self.removed_at),
            "erased_at": moment(self.erased_at),
            "problem": None if self.problem is None else self.problem.document(),
        }

    def observations(self) -> Iterator[CertificateObservation]:
        """Give what metrics show of each of its names; what no site wants is nobody's worry."""
        for name in self.names if self.removed_at is None else ():
            yield CertificateObservation(
                name=name,
                state=self.state,
                not_before=self.not_before,
                not_after=self.not_after,
                next_attempt=self.next_attempt,
                reason="" if self.problem is None else self.problem.reason,
            )


def row_of(status: "Status", names: tuple[str, ...], mode: str) -> CertificateRow:
    """Translate what autocert says, with the names as the configuration has them."""
    return CertificateRow(
        names=names,
        mode=mode,
        state=status.state.value,
        issuer=status.issuer,
        not_before=status.not_before,
        not_after=status.not_after,
        renews_at=status.renews_at,
        renews_because=status.renews_because,
        next_attempt=status.next_attempt,
        failures=status.failures,
        problem=None if status.problem is None else translated(status.problem),
        is_saved=status.is_saved,
        removed_at=status.removed_at,
        erased_at=status.erased_at,
    )
