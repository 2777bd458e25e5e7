"""Split an nginx configuration into words and marks, as nginx itself does.

A word ends at white space, `;`, `{` or `}`; quotes and comments begin only where a word would; a backslash keeps
the next character in its word; `${` does not open a block.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from proxy.importing.errors import ImportRefusedError, refused

_SPACE: Final = " \t\r\n"
_ENDS: Final = frozenset(_SPACE + ";{}")
_ESCAPES: Final = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}
_LONGEST_WORD: Final = 65_536


class Mark(Enum):
    """What a token is."""

    WORD = auto()
    END = auto()  # ;
    OPEN = auto()  # {
    CLOSE = auto()  # }
    NOTHING = auto()  # the end of the file


@dataclass(frozen=True, slots=True)
class Token:
    """A token with the line on which it begins, from 1."""

    mark: Mark
    text: str
    line: int


_MARKS: Final = {";": Mark.END, "{": Mark.OPEN, "}": Mark.CLOSE}


class Tokens:
    """The tokens of one file, taken one after the other; raises ImportRefusedError with file and line."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._line = 1

    def take(self) -> Token:
        """Return the next token."""
        self._skip_blank()
        line = self._line
        letter = self._peek()
        if not letter:
            return Token(Mark.NOTHING, "", line)
        if letter in _MARKS:
            self._at += 1
            return Token(_MARKS[letter], letter, line)
        text = self._quoted(letter) if letter in "\"'" else self._bare()
        if len(text) > _LONGEST_WORD:
            raise refused(self._file, line, "a word of more than 65536 characters")
        return Token(Mark.WORD, text, line)

    def skip_code(self) -> None:
        """Pass over a block of Lua up to its closing brace, which may stand in strings and comments too."""
        line, depth = self._line, 1
        while depth:
            letter = self._peek()
            if not letter:
                raise refused(self._file, line, "the block of code that begins here does not end")
            if letter in "\"'":
                self._quoted(letter, code=True)
                continue
            if self._text.startswith("--", self._at):
                self._skip_line()
                continue
            depth += {"{": 1, "}": -1}.get(letter, 0)
            self._advance()

    def refusal(self, line: int, reason: str) -> ImportRefusedError:
        """Return the error for a line of this file."""
        return refused(self._file, line, reason)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _advance(self) -> str:
        letter = self._text[self._at]
        self._at += 1
        self._line += letter == "\n"
        return letter

    def _skip_line(self) -> None:
        while self._peek() not in ("", "\n"):
            self._at += 1

    def _skip_blank(self) -> None:
        while letter := self._peek():
            if letter == "#":
                self._skip_line()
            elif letter in _SPACE:
                self._advance()
            else:
                return

    def _quoted(self, quote: str, *, code: bool = False) -> str:
        line, letters = self._line, []
        self._advance()
        while True:
            if not self._peek():
                raise refused(self._file, line, f"the quote {quote} that begins here does not end")
            letter = self._advance()
            if letter == quote:
                break
            letters.append(self._escaped() if letter == "\\" else letter)
        if not code and self._peek() not in ("", ")", *_ENDS):
            raise refused(self._file, self._line, f"expected a space or ; after the closing {quote}")
        return "".join(letters)

    def _bare(self) -> str:
        letters = []
        while (letter := self._peek()) and letter not in _ENDS:
            self._advance()
            if letter == "$" and self._peek() == "{":
                self._advance()
                letters.append("${")
                while self._peek() not in ("", "}", *_SPACE, ";"):
                    letters.append(self._advance())
                if self._peek() == "}":
                    letters.append(self._advance())
            else:
                letters.append(self._escaped() if letter == "\\" else letter)
        return "".join(letters)

    def _escaped(self) -> str:
        """Return what a backslash and the character after it stand for; most such pairs stand for themselves."""
        if not self._peek():
            return "\\"
        letter = self._advance()
        return _ESCAPES.get(letter, f"\\{letter}")
