"""Answers that Foregate makes itself: small, without a word about what lies behind it (RFC 9457, RFC 9209)."""

import json
from html import escape
from http import HTTPStatus
from typing import Final, NamedTuple

from proxy.http1.request import RequestFields
from proxy.http1.writer import status_line

_PROBLEM: Final = b"application/problem+json"
_HTML: Final = b"text/html; charset=utf-8"

DENIED: Final = "http_request_denied"  # RFC 9209 section 2.3
TOO_MANY: Final = "Too many requests."

_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{status} {title}</title>'
    '<meta name="viewport" content="width=device-width"><style>'
    "body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;"
    "margin:15vh auto;padding:0 1rem;color:#222}}h1{{font-size:1.5rem}}small{{color:#666}}</style></head><body>"
    "<h1>{status} {title}</h1><p>{detail}</p><p><small>Request {request_id}</small></p></body></html>\n"
)


class Answer(NamedTuple):
    """A response made here: status, its field lines without framing, content."""

    status: int
    block: bytes
    content: bytes


def title_of(status: int) -> str:
    """Return the registered reason phrase of a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def prefers_html(fields: RequestFields | None) -> bool:
    """Say whether a person with a browser is asking: text/html is named in Accept and JSON is not named before it."""
    accept = (fields.get(b"accept") if fields is not None else None) or b""
    position = accept.find(b"text/html")
    return position >= 0 and b"json" not in accept[:position]


def problem(
    status: int,
    detail: str,
    request_id: bytes,
    fields: RequestFields | None = None,
    *,
    proxy_status: str = "",
    extra: bytes = b"",
) -> Answer:
    """Build an error answer in the form that the client asked for.

    ``proxy_status`` is an error type of RFC 9209; ``extra`` are further field lines.
    """
    block, content = _content(status, detail, request_id, html=prefers_html(fields))
    block += b"X-Request-ID: %s\r\n%s" % (request_id, extra)
    if proxy_status:
        block += b"Proxy-Status: foregate; error=%s\r\n" % proxy_status.encode()
    return Answer(status, block, content)


def _content(status: int, detail: str, request_id: bytes, *, html: bool) -> tuple[bytes, bytes]:
    """Write the content of an error answer, and the field lines that go with it."""
    title = title_of(status)
    if html:
        content = _PAGE.format(
            status=status, title=title, detail=escape(detail), request_id=request_id.decode()
        ).encode()
        content_type = _HTML
    else:
        document = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "request_id": request_id.decode(),
        }
        content = json.dumps(document).encode() + b"\n"
        content_type = _PROBLEM
    return b"Content-Type: %s\r\nCache-Control: no-store\r\n" % content_type, content


class TooManyRequests:
    """The answer to requests over one rate limit, prepared as far as they have it in common.

    `start` are the status line and field lines; `before` and `after` stand around the request's id in the content.
    """

    __slots__ = ("_begun", "_date", "after", "before", "start")

    def __init__(self, policy: bytes, *, html: bool) -> None:
        block, content = _content(429, TOO_MANY, b"@", html=html)
        self.before, _, self.after = content.partition(b"@")
        head = b"%s%sProxy-Status: foregate; error=%s\r\nRateLimit-Policy: %s\r\n"
        self.start = head % (status_line(429), block, DENIED.encode(), policy)
        self._begun: dict[int, bytes] = {}
        self._date = b""

    @staticmethod
    def advice(seconds: int) -> bytes:
        """Write when to come back (RFC 9110 section 10.2.3; draft-ietf-httpapi-ratelimit-headers-10)."""
        return b'Retry-After: %d\r\nRateLimit: "default";r=0;t=%d\r\n' % (seconds, seconds)

    def head(self, seconds: int, size: int, date: bytes) -> bytes:
        """Return a head that ends where the request's id belongs; `date` is the field line, the same for a second."""
        if date is not self._date:
            self._date = date
            self._begun.clear()
        key = seconds << 16 | size
        head = self._begun.get(key)
        if head is None:
            framing = b"Content-Length: %d\r\n%sX-Request-ID: " % (size, date)
            head = self._begun[key] = self.start + self.advice(seconds) + framing
        return head


def redirect(status: int, location: bytes, extra: bytes = b"") -> Answer:
    """Build a redirect; ``location`` is already a valid field value."""
    return Answer(status, b"Location: %s\r\n%s" % (location, extra), b"")
