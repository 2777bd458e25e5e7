"""Foregate's own log: one line per event on stderr, structured, whatever the event's text holds.

Code says `log.warning("worker ended", extra=fields(worker=1, reason="killed by SIGKILL"))`: a short text that
is always the same, and what varies as fields. Lines are JSON, or plain text with `name=value` pairs where the
access log is in the combined format. A traceback appears only where a fault of Foregate's own is logged with
`exc_info`, and stays on the event's line.
"""

import json
import logging
import os
import time
from typing import Final

LOGGER_NAME: Final = "foregate"
STDERR: Final = 2
_ATTRIBUTE: Final = "fields"
# A pipe takes 4096 octets whole, so that the lines of several processes do not mix.
_LONGEST_TEXT: Final = 500
_LONGEST_TRACEBACK: Final = 2500
_FORMATTER: Final = logging.Formatter()


def logger(part: str) -> logging.Logger:
    """Return the logger of one part of Foregate, such as "supervisor"."""
    return logging.getLogger(f"{LOGGER_NAME}.{part}")


def fields(**values: object) -> dict[str, object]:
    """Wrap the fields of an event for logging's `extra`."""
    return {_ATTRIBUTE: values}


def configure(form: str, level: str, **always: object) -> None:
    """Send what Foregate and its libraries log to stderr; `always` are fields of every event.

    `form` is [log] format, `level` [log] level. Calling it again replaces the former settings.
    """
    handler = _LineHandler(_JsonFormatter(always) if form == "json" else _TextFormatter(always))
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _LineHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(LOGGER_NAME).setLevel(level.upper())


def _event(record: logging.LogRecord, always: dict[str, object]) -> dict[str, object]:
    event: dict[str, object] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        + f".{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "part": record.name.removeprefix(f"{LOGGER_NAME}."),
        "event": record.getMessage(),
    }
    own: dict[str, object] = getattr(record, _ATTRIBUTE, {})
    event |= {name: _bounded(value) for name, value in (always | own).items()}
    if record.exc_info:
        event["traceback"] = _FORMATTER.formatException(record.exc_info)[-_LONGEST_TRACEBACK:]
    return event


def _bounded(value: object) -> object:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value


class _JsonFormatter(logging.Formatter):
    def __init__(self, always: dict[str, object]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_event(record, self._always), default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self, always: dict[str, object]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        event = _event(record, self._always)
        head = [str(event.pop(name)) for name in ("time", "level", "part", "event")]
        pairs = [f"{name}={_word(value)}" for name, value in event.items()]
        return " ".join((_printable(" ".join(head)), *pairs))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _word(value: object) -> str:
    """Quote a value unless it is one plain word, and escape what would break the line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    plain = text.isprintable() and text and not any(char in ' "=' for char in text)
    return text if plain else json.dumps(text, ensure_ascii=False)


class _LineHandler(logging.Handler):
    """Write whole lines to the descriptor itself; a stderr that nobody reads any more loses them quietly."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace")
            os.write(STDERR, line + b"\n")
        except OSError:
            pass  # closed or full: there is no other place to say so
        except Exception:
            self.handleError(record)
