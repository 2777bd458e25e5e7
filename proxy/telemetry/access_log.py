"""One line per request, as JSON or in the combined format; never a secret, never a second line (CWE-117).

What depends on the field section alone (host, user agent, referer) is escaped once and kept with the parsed
section; so is nothing of one request.  A line with its end stays within 4096 octets, the size up to which a pipe takes
a write whole.
"""

import json
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from proxy.http1.request import RequestFields
from proxy.telemetry.counters import CACHE_OUTCOMES

if TYPE_CHECKING:
    from proxy.exchange import Exchange

# Characters of each in a line, escapes and quotes included; the rest of a line stays below 900.
_LONGEST_TARGET: Final = 1900
_LONGEST_AGENT: Final = 400
_LONGEST_REFERER: Final = 600
_LONGEST_HOST: Final = 260
_LONGEST_ADDRESS: Final = 200
LIMIT_OUTCOMES: Final = ("", "limited", "dry-run")
_KEY: Final = "access-log"
#: Numbers as they are written, alone and with three digits: to format one costs five times a look into a table.
_STATUSES: Final = tuple(str(number) for number in range(1000))
_THREE_DIGITS: Final = tuple(f"{number:03d}" for number in range(1000))
_MICROSECOND: Final = 1000  # nanoseconds
_JSON_SECOND: Final = "%Y-%m-%dT%H:%M:%S"
_COMBINED_SECOND: Final = "%d/%b/%Y:%H:%M:%S +0000"


class LineSink(Protocol):
    """Where finished lines go; must never block."""

    def put(self, line: str) -> None:
        """Take one line without its end."""
        ...


class _FieldTexts:
    """The escaped texts of one field section."""

    __slots__ = ("agent", "json_tail", "referer")

    def __init__(self, host: str, agent: str, referer: str) -> None:
        self.agent = agent
        self.referer = referer
        self.json_tail = f',"host":{host},"user_agent":{agent},"referer":{referer}}}'


class AccessLog:
    """Turns exchanges into lines."""

    def __init__(self, sink: LineSink | None, *, combined: bool, redact_query: tuple[str, ...]) -> None:
        self._sink = sink
        self._line = self._combined_line if combined else self._json_line
        names = "|".join(re.escape(name) for name in redact_query)
        # "a[token]=" and "token[]=" are what frameworks make of nested values.
        pattern = rf"([?&;\[](?:{names})\]?(?:\[\])?=)[^&#]*"
        self._secrets = re.compile(pattern, re.IGNORECASE) if names else None
        self._second = 0.0  # the present second (since the epoch), and how it is written
        self._second_text = ""

    def write(self, exchange: "Exchange", request_id: bytes, nanoseconds: int, tls_version: str) -> None:
        """Write the line of an exchange that is over and took so long; ``tls_version`` is empty for http."""
        sink = self._sink
        if sink is not None:
            sink.put(self._line(exchange, request_id, nanoseconds, tls_version))

    def _begin_second(self, form: str) -> float:
        """Write the present second in a form of strftime; return how much of it has passed."""
        now = time.time()
        self._second = float(int(now))
        self._second_text = time.strftime(form, time.gmtime(now))
        return now - self._second

    def _target(self, target: bytes) -> str:
        """Write a target as it may come into a log, and into a JSON string."""
        text = target[:_LONGEST_TARGET].decode("latin-1")
        if self._secrets is not None and "?" in text:
            text = self._secrets.sub(r"\1[redacted]", _decoded_names(text))
        if "\\" in text:
            text = text.replace("\\", "\\\\")
        if len(text) > _LONGEST_TARGET:
            text = text[:_LONGEST_TARGET]
            if (len(text) - len(text.rstrip("\\"))) % 2:
                text = text[:-1]  # half of an escape
        return text

    def _texts(self, fields: RequestFields) -> _FieldTexts:
        texts = fields.shared.get(_KEY)
        if not isinstance(texts, _FieldTexts):
            referer = fields.get(b"referer") or b""
            bare = self._without_secrets(referer).encode("latin-1")
            texts = _FieldTexts(
                host=_bounded((fields.host or b"")[:_LONGEST_HOST], _LONGEST_HOST),
                agent=_bounded((fields.get(b"user-agent") or b"")[:_LONGEST_AGENT], _LONGEST_AGENT),
                referer=_bounded(bare[:_LONGEST_REFERER], _LONGEST_REFERER),
            )
            fields.shared[_KEY] = texts
        return texts

    def _without_secrets(self, value: bytes) -> str:
        text = value.decode("latin-1")
        return self._secrets.sub(r"\1[redacted]", _decoded_names(text)) if self._secrets is not None else text

    def _json_line(self, exchange: "Exchange", request_id: bytes, nanoseconds: int, tls_version: str) -> str:
        passed = time.time() - self._second
        if not 0.0 <= passed < 1.0:
            passed = self._begin_second(_JSON_SECOND)
        target = exchange.target.decode("latin-1")
        if "?" in target or "\\" in target or len(target) > _LONGEST_TARGET:
            target = self._target(exchange.target)
        texts = exchange.fields.shared.get(_KEY)
        if not isinstance(texts, _FieldTexts):
            texts = self._texts(exchange.fields)
        more = ""
        if exchange.upstream_address:
            seconds_there = exchange.upstream_seconds
            took = f"{seconds_there:.6f}" if seconds_there >= 0 else "null"
            more = f',"upstream":{_quoted(exchange.upstream_address)},"upstream_seconds":{took}'
        if exchange.error or exchange.limited or exchange.retries:
            more += _outcome(exchange.error, exchange.limited, exchange.retries)
        if tls_version:
            more += f',"tls":"{tls_version}"'
        return (
            f'{{"time":"{self._second_text}.{_THREE_DIGITS[int(passed * 1000)]}Z","id":"{request_id.decode()}",'
            f'"client":"{exchange.client.decode()}","method":"{exchange.method.decode()}",'
            f'"target":"{target}","protocol":"HTTP/1.{"1" if exchange.minor_version else "0"}",'
            f'"status":{_STATUSES[exchange.status]},"received":{exchange.received or "0"},"sent":{exchange.sent},'
            f'"seconds":{_seconds(nanoseconds)},"cache":"{CACHE_OUTCOMES[exchange.cache_outcome]}"{more}'
            f"{texts.json_tail}"
        )

    def _combined_line(
        self, exchange: "Exchange", request_id: bytes, nanoseconds: int, tls_version: str
    ) -> str:
        texts = self._texts(exchange.fields)
        if not 0.0 <= time.time() - self._second < 1.0:
            self._begin_second(_COMBINED_SECOND)
        return (
            f"{exchange.client.decode() or '-'} - - [{self._second_text}] "
            f'"{exchange.method.decode()} {self._target(exchange.target)} HTTP/1.{exchange.minor_version}" '
            f"{exchange.status} {exchange.sent} {_or_dash(texts.referer)} {_or_dash(texts.agent)}"
        )


def _seconds(nanoseconds: int) -> str:
    """Write a duration in seconds, to the microsecond."""
    microseconds = (nanoseconds + _MICROSECOND // 2) // _MICROSECOND
    if microseconds < 1000:
        return "0.000" + _THREE_DIGITS[microseconds]
    if microseconds < 1_000_000:
        return f"0.{_THREE_DIGITS[microseconds // 1000]}{_THREE_DIGITS[microseconds % 1000]}"
    return f"{microseconds * 1e-6:.6f}"


_ENCODED: Final = re.compile(r"%(2[dDeE]|5[bBdDfF]|3[0-9]|4[1-9a-fA-F]|5[0-9aA]|6[1-9a-fA-F]|7[0-9aA])")


def _decoded_names(text: str) -> str:
    """Decode percent-encoded letters, digits, "-", ".", "_" and brackets, so that ``%74oken=`` is recognised, too."""
    return _ENCODED.sub(lambda m: chr(int(m[1], 16)), text) if "%" in text else text


@lru_cache(maxsize=1024)  # users differ in their cookies, less in their browsers: 0.1 instead of 2 µs
def _bounded(value: bytes, longest: int) -> str:
    """Write a value of at most ``longest`` octets as a JSON string of as many characters, cut where it is longer."""
    text = value.decode("utf-8", "replace")
    escaped = json.dumps(text)
    while len(escaped) > longest:
        text = text[: len(text) * longest // len(escaped)]
        escaped = json.dumps(text)
    return escaped


@lru_cache(maxsize=256)
def _quoted(address: str) -> str:
    """Write an upstream's address as a JSON string; a unix socket's path may hold anything."""
    return _bounded(address.encode("utf-8", "replace")[:_LONGEST_ADDRESS], _LONGEST_ADDRESS)


@lru_cache(maxsize=256)
def _outcome(error: str, limited: int, retries: int) -> str:
    """Say what was unusual about an exchange."""
    text = f',"error":"{error}"' if error else ""
    if limited:
        text += f',"limit":"{LIMIT_OUTCOMES[limited]}"'
    if retries:
        text += f',"retries":{retries}'
    return text


def _or_dash(escaped: str) -> str:
    return '"-"' if escaped == '""' else escaped
