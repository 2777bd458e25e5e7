"""What is wrong with certificates: told once for each change in the log, counted, and kept for whoever asks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.admin.operations import Document
from proxy.supervisor.moments import moment
from proxy.telemetry import process_log

if TYPE_CHECKING:
    from autocert.problem import Problem

_log = process_log.logger("certificates")

# These tell of something that happened, and is over; each one counts as news.
_EVENTS: Final = frozenset(("store-damaged", "store-modes"))
# Worth a word, but the name has a certificate.
_NOTICES: Final = frozenset(("local-ca", "clock", "file-names"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProblem:
    """One problem in two plain sentences; `reason` is the label of metrics, `next_attempt` is Unix time."""

    reason: str
    what_is_wrong: str
    what_to_do: str
    detail: str = ""
    next_attempt: float | None = None

    def __str__(self) -> str:
        """Give both sentences."""
        return f"{self.what_is_wrong} {self.what_to_do}"

    def document(self) -> Document:
        """Describe it for the admin API."""
        return {
            "reason": self.reason,
            "what_is_wrong": self.what_is_wrong,
            "what_to_do": self.what_to_do,
            "detail": self.detail,
            "next_attempt": moment(self.next_attempt),
        }


def translated(problem: "Problem") -> CertificateProblem:
    """Take over what autocert says."""
    return CertificateProblem(
        reason=problem.kind.value,
        what_is_wrong=problem.what_is_wrong,
        what_to_do=problem.what_to_do,
        detail=problem.detail,
        next_attempt=problem.next_attempt,
    )


class CertificateProblems:
    """The latest problem of each name; "" stands for what concerns no name in particular."""

    def __init__(self, is_wanted: Callable[[str], bool] = lambda _name: True) -> None:
        """Count problems only for names that `is_wanted` knows, so that there is an end of them."""
        self._is_wanted = is_wanted
        self._latest: dict[str, CertificateProblem] = {}
        self.failures: Counter[tuple[str, str]] = Counter()

    def report(self, name: str, problem: CertificateProblem) -> None:
        """Take note of a problem, and log it unless it is the one that is known."""
        if name and problem.reason not in _EVENTS | _NOTICES and self._is_wanted(name):
            self.failures[name, problem.reason] += 1
        if name and problem.reason not in _EVENTS:
            known = self._latest.get(name)
            self._latest[name] = problem
            if known is not None and str(known) == str(problem):
                return
        _log.warning(
            "certificate problem",
            extra=process_log.fields(
                **({"name": name} if name else {}),
                reason=problem.reason,
                problem=str(problem),
                detail=problem.detail,
                **({"next_attempt": moment(problem.next_attempt)} if problem.next_attempt else {}),
            ),
        )

    def latest(self, name: str) -> CertificateProblem | None:
        """Return what is known to be wrong with a name."""
        return self._latest.get(name)

    def solved(self, name: str) -> None:
        """Know that a name has got what it lacked."""
        self._latest.pop(name, None)

    def forget_all_but(self, names: frozenset[str]) -> None:
        """Forget the names that are not configured any more; what was counted stays."""
        for name in [name for name in self._latest if name not in names]:
            del self._latest[name]
