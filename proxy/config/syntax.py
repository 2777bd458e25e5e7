"""From the octets of a file to a TOML document, or to the one fault that keeps it from being one."""

import re
import tomllib
from typing import Any, Final

from proxy.config.errors import ConfigError, Fault
from proxy.config.findings import key_text
from proxy.config.positions import first_repetition

LARGEST_FILE: Final = 4 * 1024 * 1024  # ten thousand sites fit; what is larger is some other file

# tomllib's time grows with the square of the parts of one key; no key of ours has more than five. A bare part is tried
# from its beginning alone, and never twice: the search stays linear in a long word or string.
_PART: Final = r"""(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_ENDLESS_KEY: Final = re.compile(rf"(?:{_PART}[ \t]*+\.[ \t]*+){{500}}")
_PLACE: Final = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")

# What tomllib says at the beginning of a message: what that means, and what to write.
_MEANINGS: Final = (
    ("Cannot overwrite a value", "a key a second time", "each key once"),
    ("Cannot declare", "a table a second time", "each [table] once; a further site begins with [[site]]"),
    ("Cannot mutate", "a key for a table in braces", "all keys of such a table between its braces"),
    ("Invalid value", "no TOML value", 'a string such as "3s", a number, a list, true or false'),
    ("Expected newline", "more after a value", 'one key a line, and strings in quotes, such as "3s"'),
    ("Unclosed array", "a list without an end", "a ] at the end of a list"),
    ("Unclosed inline table", "a table without an end", "a } at the end of a table in braces"),
    ("Unterminated string", "a string without an end", "a closing quote"),
    ("Expected \"'", "a string without an end", "a closing quote"),
    ("Illegal character '\\n'", "a string without an end", "a closing quote on the same line"),
    ("Illegal character", "a control character", "printable text"),
    ("Unescaped '\\'", "a lone backslash", "\\\\ for a backslash, or single quotes around the string"),
    ("Expected '=' after a key", "a key without a value", "key = value"),
    ("Expected ']]'", "half a header", "[[site]], with two brackets on both sides"),
    ("Expected ']'", "half a header", "[name], in brackets on one line"),
    ("Invalid initial character for a key", "no key", "key = value; a table in braces stands on one line"),
    ("Invalid statement", "something else", "key = value, [table] or [[site]]; other keys stand in quotes"),
)


def read_document(source: bytes, file: str) -> tuple[str, dict[str, Any]]:
    """Return a file's text and what it holds.

    Raises ConfigError with exactly one fault: after a syntax error nothing else can be believed.
    """
    text = _decode(source, file)
    if _ENDLESS_KEY.search(text):
        raise _error(file, None, "a key with hundreds of parts", "at most five")
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(text, file, str(error)) from error
    except RecursionError as error:
        raise _error(
            file, None, "lists or tables within each other without end", "at most five levels"
        ) from error
    except ValueError as error:
        # The number of digits that Python converts is bounded, and tomllib lets that error through.
        raise _error(file, None, "a number with thousands of digits", "a number") from error


def _decode(source: bytes, file: str) -> str:
    if len(source) > LARGEST_FILE:
        found = f"{len(source)} bytes"
        raise _error(file, None, found, f"at most {LARGEST_FILE} bytes", "is this the right file?")
    if source.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _error(file, 1, "UTF-16", "UTF-8", "save the file as UTF-8")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{source[error.start]:02x}, which is not UTF-8"
        raise _error(file, line, found, "UTF-8 text", "save the file as UTF-8") from error


def _syntax_error(text: str, file: str, message: str) -> ConfigError:
    """Translate tomllib's message, which ends with a place."""
    place = _PLACE.search(message)
    if message.startswith(("Cannot overwrite", "Cannot declare")) and (twice := first_repetition(text)):
        found = f"{key_text(twice.path)} a second time"
        return _error(file, twice.second, found, "each key once", f"it is on line {twice.first} already")
    said = message[: place.start()] if place else message
    line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
    column = f" at column {place[2]}" if place and place[2] else ""
    for beginning, found, expected in _MEANINGS:
        if said.startswith(beginning):
            return _error(file, line, f"{found}{column}", expected)
    return _error(file, line, f"{said[:1].lower()}{said[1:]}{column}", "TOML")


def _error(file: str, line: int | None, found: str, expected: str, hint: str = "") -> ConfigError:
    return ConfigError((Fault(file, line, "", found, expected, hint),))
