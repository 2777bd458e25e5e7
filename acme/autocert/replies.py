"""What a CA answers, in values of our own, and how its headers and documents are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from autocert.errors import ProblemDocument
from autocert.renewal import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order (RFC 8555 section 7.1.3); `retry_after` is in seconds, None when the CA gave none."""

    url: str
    status: str
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str
    error: ProblemDocument | None
    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """An authorization (section 7.1.4) with its HTTP-01 challenge's URL, "" when the CA offers none."""

    url: str
    name: str
    status: str
    challenge: str
    challenge_status: str
    error: ProblemDocument | None
    retry_after: float | None


def retry_after_seconds(value: str, date: str, now: float) -> float | None:
    """Read Retry-After in both its forms (RFC 9110 section 10.2.3), in seconds from now.

    None when unreadable, 0 when past. A date counts from the reply's own Date where there is one, so that a
    wrong clock here does no harm; `now` (wall seconds) serves where there is none.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = _http_date(text)
    if moment is None:
        return None
    return max(moment - (_http_date(date) or now), 0.0)


def _http_date(text: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # An HTTP date is in GMT whatever the local zone is (RFC 9110 section 5.6.7).
    aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    return aware.timestamp()


def problem_document(content: Any, status: int) -> ProblemDocument | None:
    """Return the problem document that a decoded JSON text is, None when it is none."""
    if not isinstance(content, Mapping) or not isinstance(content.get("type", "about:blank"), str):
        return None
    if "type" not in content and "detail" not in content:
        return None
    identifier = content.get("identifier")
    inner = content.get("subproblems")
    return ProblemDocument(
        type=content.get("type", "about:blank"),
        detail=str(content.get("detail") or content.get("title") or "")[:2000],
        status=status,
        name=str(identifier.get("value", "")) if isinstance(identifier, Mapping) else "",
        subproblems=tuple(
            document
            for entry in (inner if isinstance(inner, list) else [])[:100]
            if (document := problem_document(entry, status)) is not None
        ),
    )


def renewal_window(content: Any) -> Window | None:
    """Return the suggested window of a renewal information document (RFC 9773 section 4.2).

    None when the document is not one, or its window ends before it begins.
    """
    try:
        suggested = content["suggestedWindow"]
        window = Window(_rfc3339(suggested["start"]), _rfc3339(suggested["end"]))
    except (KeyError, TypeError, ValueError):
        return None
    return window if window.usable else None


def _rfc3339(text: Any) -> float:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.timestamp()
