"""What is kept about a certificate beside itself: attempts, last problem, renewal window, removal."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from autocert import envelope
from autocert.errors import WrongCertificateError
from autocert.problem import Kind, Problem
from autocert.renewal import Backoff, Window

KIND: Final = "state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The state of one certificate that outlives a restart; times are wall seconds, 0 meaning never.

    `window_of` and `requested` are fingerprints: of the certificate that the window is for, and of the one that
    somebody asked to have renewed. `kept` tells that a removed certificate was restored.
    """

    names: tuple[str, ...] = ()
    backoff: Backoff = field(default_factory=Backoff)
    problem: Problem | None = None
    window: Window | None = None
    window_of: str = ""
    next_window_check: float = 0.0
    requested: str = ""
    removed_at: float = 0.0
    kept: bool = False

    def sealed(self) -> bytes:
        """Return the file that holds it."""
        content = asdict(self)
        if self.problem is not None:
            content["problem"]["kind"] = self.problem.kind.value
        return envelope.seal(KIND, json.dumps(content).encode())

    def shifted(self, seconds: float) -> "Record":
        """Return it with the waits moved with a clock that was set; the CA's window and dates stay."""
        return replace(self, backoff=self.backoff.shifted(seconds))


def unsealed(content: bytes) -> Record:
    """Return the record that a file holds; raises WrongCertificateError when it is damaged."""
    try:
        fields = json.loads(envelope.unseal(KIND, content))
        problem, window = fields.pop("problem"), fields.pop("window")
        return Record(
            problem=Problem(**{**problem, "kind": Kind(problem["kind"])}) if problem else None,
            window=Window(**window) if window else None,
            backoff=Backoff(**fields.pop("backoff")),
            names=tuple(fields.pop("names")),
            **fields,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise WrongCertificateError("the state is not readable") from exc
