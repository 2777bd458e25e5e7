"""On which line each key of a TOML text stands.

Theory of operation.  `tomllib` gives values without places, so this reads the same text once more and notes
where keys begin.  It runs only when there is something to report, and only over text that `tomllib` has
accepted: it splits, and never judges.  Text that it does not understand ends the walk; what was found until
then stays, and the rest has no line. A test compares it with `tomllib` over generated documents.
"""

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from proxy.config.findings import Path

_BLANK: Final = re.compile(r"[ \t]*+")
_BLANK_LINES: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]++")
_STRING: Final = re.compile(
    # Greedy, with all of it possessive inside: CPython before 3.11.5 forgets to go back in a possessive group.
    r'"""(?:[^"\\]++|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']++|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}#\n\r]++")


class _UnknownFormError(Exception):
    """The text is not what this reader expects here."""


def locate(text: str) -> dict[Path, int]:
    """Return the line, from 1, on which each key and each array element begins."""
    reader = _Reader(text)
    with suppress(_UnknownFormError, RecursionError):
        reader.read_document()
    return reader.lines


@dataclass(frozen=True, slots=True)
class Repetition:
    """A key or table that stands in a text twice, with both lines."""

    path: Path
    first: int
    second: int


def first_repetition(text: str) -> Repetition | None:
    """Return the first key or table that is set twice, which TOML does not allow."""
    reader = _Reader(text)
    with suppress(_UnknownFormError, RecursionError):
        reader.read_document()
    return reader.repetition


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.repetition: Repetition | None = None
        self._text = text
        self._position = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._elements: dict[Path, int] = {}  # the index of the newest [[table]] of a name
        self._set_on: dict[Path, int] = {}  # where a key got its value, or a [table] its header

    def read_document(self) -> None:
        """Read statements until the end of the text."""
        table: Path = ()
        while True:
            self._skip(_BLANK_LINES)
            if self._position >= len(self._text):
                return
            if self._text.startswith("[[", self._position):
                table = self._read_header(2)
            elif self._text.startswith("[", self._position):
                table = self._read_header(1)
            else:
                self._read_pair(table)

    def _read_header(self, brackets: int) -> Path:
        start = self._position
        self._position += brackets
        *parents, last = self._read_key()
        self._expect("]" * brackets)
        path: Path = ()
        for part in parents:
            path = self._newest((*path, part), start)
        path = (*path, last)
        if brackets == 1:
            self._set(path, start)
            return self._newest(path, start)
        self._note(path, start)
        self._elements[path] = self._elements.get(path, -1) + 1
        return self._newest(path, start)

    def _newest(self, path: Path, start: int) -> Path:
        """Note a table of a header; a [[table]] stands for the newest of its elements."""
        self._note(path, start)
        if path in self._elements:
            path = (*path, self._elements[path])
            self._note(path, start)
        return path

    def _read_pair(self, table: Path) -> None:
        start = self._position
        path = table
        for part in self._read_key():
            path = (*path, part)
            self._note(path, start)
        self._set(path, start)
        self._expect("=")
        self._skip(_BLANK)
        self._read_value(path)

    def _read_key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_BLANK)
            if match := _BARE_KEY.match(self._text, self._position):
                parts.append(match[0])
            elif match := _STRING.match(self._text, self._position):
                parts.append(_unquoted(match[0]))
            else:
                raise _UnknownFormError
            self._position = match.end()
            self._skip(_BLANK)
            if not self._text.startswith(".", self._position):
                return parts
            self._position += 1

    def _read_value(self, path: Path) -> None:
        if self._text.startswith("[", self._position):
            self._read_array(path)
        elif self._text.startswith("{", self._position):
            self._read_inline_table(path)
        else:
            match = _STRING.match(self._text, self._position) or _SCALAR.match(self._text, self._position)
            if match is None:
                raise _UnknownFormError
            self._position = match.end()

    def _read_array(self, path: Path) -> None:
        self._expect("[")
        index = 0
        while not self._at_end_of("]"):
            self._note((*path, index), self._position)
            self._read_value((*path, index))
            index += 1

    def _read_inline_table(self, path: Path) -> None:
        self._expect("{")
        while not self._at_end_of("}"):
            self._read_pair(path)

    def _at_end_of(self, bracket: str) -> bool:
        """Step over blanks and a comma; at the closing bracket step over it too and say so."""
        self._skip(_BLANK_LINES)
        if self._text.startswith(",", self._position):
            self._position += 1
            self._skip(_BLANK_LINES)
        if self._text.startswith(bracket, self._position):
            self._position += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        self._skip(_BLANK)
        if not self._text.startswith(text, self._position):
            raise _UnknownFormError
        self._position += len(text)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._text, self._position):
            self._position = match.end()

    def _note(self, path: Path, position: int) -> None:
        if path not in self.lines:
            self.lines[path] = self._line(position)

    def _set(self, path: Path, position: int) -> None:
        if path not in self._set_on:
            self._set_on[path] = self._line(position)
        elif self.repetition is None:
            self.repetition = Repetition(path, self._set_on[path], self._line(position))

    def _line(self, position: int) -> int:
        return bisect_right(self._line_ends, position - 1) + 1


def _unquoted(literal: str) -> str:
    """Return what a quoted key says, by the parser whose keys these are."""
    try:
        return str(tomllib.loads(f"key = {literal}")["key"])
    except tomllib.TOMLDecodeError as error:
        raise _UnknownFormError from error
