"""Turn every error on the way to a certificate into one problem with its two sentences. Pure."""

import errno
import ipaddress
import re
import time
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from autocert.cloudflare import is_cloudflare
from autocert.errors import (
    BudgetError,
    ProblemDocument,
    ReplyError,
    SettingsError,
    StorageError,
    Unreachable,
    UnreachableError,
    ValidationError,
    WrongCertificateError,
)
from autocert.problem import Kind, Problem, problem
from autocert.settings import Authority
from autocert.threads import LeftBehindError

_UNREACHABLE: Final = {
    Unreachable.DNS: Kind.CA_DOWN,
    Unreachable.REFUSED: Kind.CA_DOWN,
    Unreachable.UNTRUSTED: Kind.CA_UNTRUSTED,
    Unreachable.SLOW: Kind.CA_SLOW,
    Unreachable.NOT_ACME: Kind.NOT_ACME,
}
# The codes of RFC 8555 section 6.7 and of the profiles draft.
_BY_CODE: Final = {
    "caa": Kind.CAA,
    "dns": Kind.DNS_FAILS,
    "connection": Kind.PORT_CLOSED,
    "unauthorized": Kind.ACCOUNT_REFUSED,
    "accountDoesNotExist": Kind.ACCOUNT_REFUSED,
    "userActionRequired": Kind.ACCOUNT_REFUSED,
    "rateLimited": Kind.CA_LIMIT,
    "rejectedIdentifier": Kind.NAME_REFUSED,
    "unsupportedIdentifier": Kind.NAME_REFUSED,
    "externalAccountRequired": Kind.EAB_REQUIRED,
    "invalidContact": Kind.EMAIL_REFUSED,
    "unsupportedContact": Kind.EMAIL_REFUSED,
    "invalidProfile": Kind.PROFILE_UNKNOWN,
    "badPublicKey": Kind.KEY_REFUSED,
    "badCSR": Kind.KEY_REFUSED,
    "badSignatureAlgorithm": Kind.KEY_REFUSED,
    "serverInternal": Kind.CA_TROUBLE,
    "badNonce": Kind.CA_TROUBLE,
}
# The same codes when they are the outcome of a validation.
_BY_VALIDATION_CODE: Final = {
    **_BY_CODE,
    "unauthorized": Kind.ANSWERED_BY_OTHER,
    "incorrectResponse": Kind.ANSWERED_BY_OTHER,
    "tls": Kind.ANSWERED_BY_OTHER,
    "malformed": Kind.ANSWERED_BY_OTHER,
}
_NO_RECORD = re.compile(r"NXDOMAIN|no valid A|no (?:valid )?(?:IP )?address|No valid IP", re.I)
_BETWEEN_WORDS = re.compile(r"[\s\[\]\"'(),]+")
# Let's Encrypt says when in the text as well: "retry after 2026-01-02 03:04:05 UTC".
_RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", re.I)


def explain(error: Exception, name: str, authority: Authority, path: str, now: float) -> Problem:
    """Return the problem that an error is for a name; `path` is the storage folder."""
    facts = {"ca": authority.name, "host": urlsplit(authority.url).hostname or authority.url, "path": path}
    match error:
        case ReplyError():
            return _of_reply(error, name, facts, now)
        case UnreachableError():
            return problem(_UNREACHABLE[error.reason], name, error.detail, **facts)
        case BudgetError():
            when = moment(error.frees_at)
            found = problem(Kind.OWN_BUDGET, name, "", limit=error.limit, when=when)
            return found.again_at(error.frees_at)
        case StorageError():
            return problem(_storage_kind(error), name, str(error), **facts)
        case WrongCertificateError():
            return problem(Kind.WRONG_CERTIFICATE, name, str(error), **facts)
        case SettingsError():
            return problem(Kind.SETTINGS, name, "", fault=str(error))
        case LeftBehindError():
            return problem(Kind.STORAGE_FAILS, name, f"the disk does not answer: {error}", **facts)
    return problem(Kind.INTERNAL, name, f"{type(error).__name__}: {error}")


def is_unanswered(error: Exception) -> bool:
    """Tell whether the error left nothing that a CA counts, so that it may be tried again soon."""
    if isinstance(error, ReplyError):
        return error.document.status >= 500 and not isinstance(error, ValidationError)
    return isinstance(error, UnreachableError | BudgetError | StorageError | SettingsError | LeftBehindError)


def wait_of(error: Exception, now: float) -> float | None:
    """Return the seconds that the error itself asks to wait, None when it does not say."""
    if isinstance(error, BudgetError):
        return max(error.frees_at - now, 0.0)
    if not isinstance(error, ReplyError):
        return None
    return max(error.retry_after or 0.0, _said_in_text(error.document.detail) - now, 0.0) or None


def _said_in_text(detail: str) -> float:
    said = _RETRY_AFTER.search(detail)
    try:
        return datetime.fromisoformat(f"{said[1]} {said[2]}").replace(tzinfo=UTC).timestamp() if said else 0.0
    except ValueError:
        return 0.0


def moment(when: float) -> str:
    """Write a wall time for people."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))


def _of_reply(error: ReplyError, name: str, facts: dict[str, str], now: float) -> Problem:
    document = _telling(error.document)
    failed = error.name if isinstance(error, ValidationError) else document.name or name
    table = _BY_VALIDATION_CODE if isinstance(error, ValidationError) else _BY_CODE
    kind = table.get(document.code, Kind.CA_TROUBLE if document.status >= 500 else Kind.REFUSED)
    address = _address(document.detail)
    if kind is Kind.DNS_FAILS and _NO_RECORD.search(document.detail):
        kind = Kind.NO_ADDRESS
    if kind in {Kind.PORT_CLOSED, Kind.ANSWERED_BY_OTHER} and address:
        if is_cloudflare(address):
            kind = Kind.CLOUDFLARE
        elif ":" in address:
            kind = Kind.IPV6_ELSEWHERE
    wait = wait_of(error, now)
    blanks = {**facts, "where": failed, "identity": facts["host"]}
    if address:
        blanks["address"] = address
    if wait is not None:
        blanks["when"] = moment(now + wait)
    return problem(kind, failed, f"{document.code}: {document.detail}", **blanks)


def _telling(document: ProblemDocument) -> ProblemDocument:
    """Return the document that says most: the first subproblem of a compound one."""
    if document.subproblems and document.code in {
        "compound",
        "malformed",
        "rejectedIdentifier",
        "about:blank",
    }:
        return document.subproblems[0]
    return document


def _address(text: str) -> str:
    """Return the first IP address in a text, "" when there is none."""
    for word in _BETWEEN_WORDS.split(text):
        host = word.rstrip(":.")
        if host.count(":") == 1:
            host = host.partition(":")[0]
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            continue
    return ""


def _storage_kind(error: StorageError) -> Kind:
    match error.cause.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return Kind.STORAGE_FULL
        case errno.EROFS:
            return Kind.STORAGE_READ_ONLY
        case errno.EACCES | errno.EPERM:
            return Kind.STORAGE_DENIED
    return Kind.STORAGE_FAILS
