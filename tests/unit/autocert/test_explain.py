"""Which problem every error is, and how long it asks to wait."""

import errno

import pytest

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
from autocert.explain import explain, is_unanswered, wait_of
from autocert.problem import Kind, Problem
from autocert.settings import Authority
from autocert.threads import LeftBehindError

NOW = 1_794_830_400.0  # 2026-11-16 12:00 UTC
NAME = "www.example.com"


def explained(error: Exception) -> Problem:
    return explain(error, NAME, Authority(), "/data/ssl", NOW)


def refused(code: str, detail: str = "", status: int = 400) -> ReplyError:
    return ReplyError(ProblemDocument(f"urn:ietf:params:acme:error:{code}", detail, status))


def invalid(code: str, detail: str = "") -> ValidationError:
    return ValidationError(NAME, ProblemDocument(f"urn:ietf:params:acme:error:{code}", detail))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (invalid("dns", "DNS problem: NXDOMAIN looking up A for www.example.com"), Kind.NO_ADDRESS),
        (invalid("dns", "no valid A records found for www.example.com"), Kind.NO_ADDRESS),
        (invalid("dns", "DNS problem: SERVFAIL looking up A for www.example.com"), Kind.DNS_FAILS),
        (invalid("caa", "CAA record for example.com prevents issuance"), Kind.CAA),
        (invalid("connection", "203.0.113.7: Fetching http://www.example.com/: Timeout"), Kind.PORT_CLOSED),
        (
            invalid("connection", "2001:db8::7: Fetching http://www.example.com/: Refused"),
            Kind.IPV6_ELSEWHERE,
        ),
        (invalid("unauthorized", "203.0.113.7: Invalid response from http://x: 404"), Kind.ANSWERED_BY_OTHER),
        (invalid("unauthorized", "104.21.3.4: Invalid response from http://x: 404"), Kind.CLOUDFLARE),
        (invalid("unauthorized", "2606:4700::6810:84e5: Invalid response: 522"), Kind.CLOUDFLARE),
        (invalid("incorrectResponse", ""), Kind.ANSWERED_BY_OTHER),
        (invalid("tls", "remote error: tls: handshake failure"), Kind.ANSWERED_BY_OTHER),
        (invalid("strange", ""), Kind.REFUSED),
        (refused("rateLimited", "too many certificates", 429), Kind.CA_LIMIT),
        (refused("rejectedIdentifier", "policy forbids"), Kind.NAME_REFUSED),
        (refused("externalAccountRequired"), Kind.EAB_REQUIRED),
        (refused("invalidContact"), Kind.EMAIL_REFUSED),
        (refused("unauthorized", "", 403), Kind.ACCOUNT_REFUSED),
        (refused("invalidProfile"), Kind.PROFILE_UNKNOWN),
        (refused("badCSR"), Kind.KEY_REFUSED),
        (refused("serverInternal", "", 500), Kind.CA_TROUBLE),
        (refused("malformed"), Kind.REFUSED),
        (ReplyError(ProblemDocument("about:blank", "status 503", 503)), Kind.CA_TROUBLE),
        (ReplyError(ProblemDocument("about:blank", "status 404", 404)), Kind.REFUSED),
        (UnreachableError(Unreachable.DNS, ""), Kind.CA_DOWN),
        (UnreachableError(Unreachable.REFUSED, ""), Kind.CA_DOWN),
        (UnreachableError(Unreachable.UNTRUSTED, ""), Kind.CA_UNTRUSTED),
        (UnreachableError(Unreachable.SLOW, ""), Kind.CA_SLOW),
        (UnreachableError(Unreachable.NOT_ACME, ""), Kind.NOT_ACME),
        (StorageError(OSError(errno.ENOSPC, "x"), "/data"), Kind.STORAGE_FULL),
        (StorageError(OSError(errno.EDQUOT, "x"), "/data"), Kind.STORAGE_FULL),
        (StorageError(OSError(errno.EROFS, "x"), "/data"), Kind.STORAGE_READ_ONLY),
        (StorageError(OSError(errno.EACCES, "x"), "/data"), Kind.STORAGE_DENIED),
        (StorageError(OSError(errno.EIO, "x"), "/data"), Kind.STORAGE_FAILS),
        (LeftBehindError("30 s"), Kind.STORAGE_FAILS),
        (BudgetError("certificates in a week", NOW + 3600), Kind.OWN_BUDGET),
        (SettingsError("eab_kid and eab_hmac_key go together"), Kind.SETTINGS),
        (WrongCertificateError("the key is not the certificate's"), Kind.WRONG_CERTIFICATE),
        (ZeroDivisionError("x"), Kind.INTERNAL),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else type(value).__name__,
)
def test_every_error_is_a_problem(error: Exception, kind: Kind) -> None:
    found = explained(error)
    assert found.kind is kind
    assert "unknown" not in found.what_is_wrong


def test_the_sentences_name_what_they_are_about() -> None:
    closed = explained(invalid("connection", "203.0.113.7: Timeout"))
    assert closed.what_is_wrong == "Port 80 of www.example.com (203.0.113.7) cannot be reached from outside."
    assert closed.detail == "connection: 203.0.113.7: Timeout"
    limit = explained(ReplyError(ProblemDocument("urn:ietf:params:acme:error:rateLimited", "x", 429), 3600.0))
    assert "Let's Encrypt has reached its limit for www.example.com" in limit.what_is_wrong
    assert "until 2026-11-16 13:00 UTC" in limit.what_is_wrong
    own = explained(BudgetError("certificates under example.com in a week", NOW + 86400))
    assert "until 2026-11-17 12:00 UTC" in own.what_is_wrong
    assert own.next_attempt == NOW + 86400


def test_the_name_is_the_one_that_failed() -> None:
    other = ProblemDocument("urn:ietf:params:acme:error:caa", "no", 403, "b.example.com")
    compound = ProblemDocument("urn:ietf:params:acme:error:compound", "two failed", 403, "", (other,))
    found = explained(ReplyError(compound))
    assert found.kind is Kind.CAA
    assert "b.example.com" in found.what_is_wrong


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ReplyError(ProblemDocument("x", ""), 90.0), 90.0),
        (ReplyError(ProblemDocument("x", "retry after 2026-11-16 13:00:00 UTC: see https://x"), 5.0), 3600.0),
        (ReplyError(ProblemDocument("x", "retry after 2026-11-16T12:10:00Z")), 600.0),
        (ReplyError(ProblemDocument("x", "retry after 2026-11-16 11:00:00 UTC")), None),
        (ReplyError(ProblemDocument("x", "retry after some time")), None),
        (BudgetError("x", NOW + 50), 50.0),
        (UnreachableError(Unreachable.SLOW, ""), None),
    ],
)
def test_how_long_to_wait(error: Exception, seconds: float | None) -> None:
    assert wait_of(error, NOW) == seconds


@pytest.mark.parametrize("text", ["retry after 2026-99-99 25:00:00", "retry after 0000-00-00 00:00:00"])
def test_dates_that_are_none_do_no_harm(text: str) -> None:
    assert wait_of(ReplyError(ProblemDocument("x", text)), NOW) is None


def test_what_the_ca_counts_and_what_not() -> None:
    for counted in (invalid("connection"), refused("rateLimited"), WrongCertificateError("x"), ValueError()):
        assert not is_unanswered(counted)
    for free in (
        UnreachableError(Unreachable.REFUSED, ""),
        ReplyError(ProblemDocument("about:blank", "", 503)),
        BudgetError("x", 0.0),
        StorageError(OSError(28, ""), ""),
        LeftBehindError(),
    ):
        assert is_unanswered(free)
