"""What the operator asks about certificates, answered; implements `proxy.admin.certificates`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.admin.certificates import CertificateOutcome
from proxy.admin.operations import Document
from proxy.supervisor.certificate_problems import CertificateProblem, translated
from proxy.supervisor.certificate_rows import CertificateRow
from proxy.supervisor.certificates import Certificates
from proxy.telemetry.metrics import CertificateObservation, Observation

if TYPE_CHECKING:
    from autocert.diagnose import Diagnosis

_PATIENCE: Final = 60.0  # seconds that a renewal asked for by hand may take
_UNKNOWN: Final = "not-configured"
#: Stands for the storage folder where metrics have a name; no domain can be this.
STORAGE_LABEL: Final = "-"


class CertificateDesk:
    """Answers the admin API and the scrape; changes nothing but what it is asked to."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def certificates(self) -> Document:
        """Describe all certificates, and what is wrong with the storage."""
        return {
            "certificates": [row.document() for row in self._certificates.rows()],
            "storage_problems": [one.document() for one in self._certificates.storage_problems()],
        }

    def complete(self, observation: Observation) -> Observation:
        """Add to an observation what metrics show of certificates."""
        failures = dict(self._certificates.problems.failures)
        return replace(observation, certificates=tuple(self._observed()), certificate_failures=failures)

    async def renew_certificate(self, name: str) -> CertificateOutcome:
        """Order a new certificate for a domain now, and wait for it."""
        keeper = self._certificates.keeper_of(name)
        if keeper is None:
            return self._not_kept(name)
        return self._outcome(name, await keeper.renew(name, _PATIENCE))

    async def restore_certificate(self, name: str) -> CertificateOutcome:
        """Go back to a domain's former certificate, or keep one whose domain was removed."""
        keeper = self._certificates.keeper_of(name)
        if keeper is None:
            return self._not_kept(name)
        return self._outcome(name, await keeper.restore(name))

    async def diagnose(self, name: str) -> Document | None:
        """Find out why a domain gets no certificate; None for a domain that is not configured."""
        row, keeper = self._row(name), self._certificates.keeper_of(name)
        if row is None or row.removed_at is not None:
            return None
        if keeper is None or row.mode != "acme":
            problems = [] if row.problem is None else [row.problem]
            return diagnosis_document(name, problems, (f"{name} has {_whence(row)}.",))
        return found_document(await keeper.diagnose(name))

    def _observed(self) -> Iterator[CertificateObservation]:
        for row in self._certificates.rows():
            yield from row.observations()
        for problem in self._certificates.storage_problems():
            yield CertificateObservation(name=STORAGE_LABEL, reason=problem.reason)

    def _row(self, name: str) -> CertificateRow | None:
        return next((row for row in self._certificates.rows() if name in row.names), None)

    def _not_kept(self, name: str) -> CertificateOutcome:
        row = self._row(name)
        if row is None:
            return CertificateOutcome(fault=f"{name} has no certificate here", is_known=False)
        return CertificateOutcome(fault=f"{name} has {_whence(row)}: there is nothing to order or to restore")

    def _outcome(self, name: str, problem: CertificateProblem | None) -> CertificateOutcome:
        if problem is not None:
            detail = f" ({problem.detail})" if problem.detail else ""
            return CertificateOutcome(fault=f"{problem}{detail}", is_known=problem.reason != _UNKNOWN)
        row = self._row(name)
        return CertificateOutcome(certificate=None if row is None else row.document())


def found_document(found: "Diagnosis") -> Document:
    """Describe what autocert found out."""
    return diagnosis_document(found.name, map(translated, found.problems), found.notes)


def diagnosis_document(name: str, problems: Iterable[CertificateProblem], notes: Sequence[str]) -> Document:
    """Describe what is wrong with a name, the most telling first, and what was found to be right."""
    return {"name": name, "problems": [problem.document() for problem in problems], "notes": list(notes)}


def _whence(row: CertificateRow) -> str:
    match row.mode:
        case "files":
            return f"its certificate from files, renewed {row.renews_because}"
        case "self-signed":
            return "its certificate from the local CA"
        case _:
            return "no certificate"
