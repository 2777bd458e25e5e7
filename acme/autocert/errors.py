"""The errors of this package; each carries what the operator has to know, never a traceback's wording."""

from dataclasses import dataclass
from enum import Enum, auto


class AutocertError(Exception):
    """Base of every error that autocert raises on purpose."""


class Unreachable(Enum):
    """Why no usable answer came from the CA."""

    DNS = auto()
    REFUSED = auto()
    UNTRUSTED = auto()
    SLOW = auto()
    NOT_ACME = auto()


class UnreachableError(AutocertError):
    """The CA gave no answer, or one that is not ACME; nothing was counted against us."""

    def __init__(self, reason: Unreachable, detail: str) -> None:
        super().__init__(f"{reason.name.lower()}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ProblemDocument:
    """What the CA says is wrong (RFC 7807, RFC 8555 section 6.7)."""

    type: str
    detail: str
    status: int = 0
    name: str = ""
    subproblems: tuple["ProblemDocument", ...] = ()

    @property
    def code(self) -> str:
        """Return the last part of the type, such as `rateLimited`."""
        return self.type.rsplit(":", 1)[-1]


class ReplyError(AutocertError):
    """The CA refused a request; `retry_after` is in seconds from its receipt, None when not given."""

    def __init__(self, document: ProblemDocument, retry_after: float | None = None) -> None:
        super().__init__(f"{document.code}: {document.detail}")
        self.document = document
        self.retry_after = retry_after


class ValidationError(ReplyError):
    """The CA could not validate `name`, which counts as a failed validation of it."""

    def __init__(self, name: str, document: ProblemDocument, retry_after: float | None = None) -> None:
        super().__init__(document, retry_after)
        self.name = name


class OrderLostError(AutocertError):
    """An order that was under way before a restart can no longer be finished."""


class WrongCertificateError(AutocertError):
    """A certificate, or a stored file, is not what it should be; the text says in what."""


class StorageError(AutocertError):
    """The storage folder cannot be used as needed; `cause` is the operating system's error."""

    def __init__(self, cause: OSError, path: str) -> None:
        super().__init__(f"{path}: {cause.strerror or cause}")
        self.cause = cause
        self.path = path


class BudgetError(AutocertError):
    """Our own budget is used up: `limit` says which, `frees_at` (wall seconds) when it allows the next."""

    def __init__(self, limit: str, frees_at: float) -> None:
        super().__init__(f"{limit} used up")
        self.limit = limit
        self.frees_at = frees_at


class SettingsError(AutocertError):
    """A setting cannot work; the text names it and the cure."""
