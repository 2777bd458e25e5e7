"""Read an nginx configuration into a tree of directives, its includes in their places."""

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.importing.draft import Notes
from proxy.importing.errors import ImportRefusedError, refused
from proxy.importing.nginx.tokens import Mark, Token, Tokens

_LARGEST_FILE: Final = 4 * 1024 * 1024
_DEEPEST_INCLUDE: Final = 16
_MOST_FILES: Final = 1000
_MOST_DIRECTIVES: Final = 20_000
_DEEPEST_BLOCK: Final = 32
_OTHER: Final = "it is about files or other protocols"
_AUTO_SSL: Final = "Foregate orders certificates by itself"
_NEEDLESS_FILES: Final = {
    **dict.fromkeys(("mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params"), _OTHER),
    **dict.fromkeys(("resty-http.conf", "resty-server-http.conf", "resty-server-https.conf"), _AUTO_SSL),
    **dict.fromkeys(("force-https.conf",), "Foregate redirects by itself"),
}


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its name, its arguments, and what stands between its braces."""

    name: str
    arguments: tuple[str, ...]
    file: str
    line: int
    block: tuple["Directive", ...] = field(default=(), repr=False)

    @property
    def place(self) -> str:
        """Return file:line."""
        return f"{self.file}:{self.line}"

    @property
    def text(self) -> str:
        """Return how it was written, more or less."""
        return " ".join((self.name, *self.arguments))

    @property
    def first(self) -> str:
        """Return the first argument, "" if there is none."""
        return self.arguments[0] if self.arguments else ""

    def all(self, name: str) -> Iterator["Directive"]:
        """Yield the directives of a name that stand directly in the block."""
        return (inner for inner in self.block if inner.name == name)


def read_tree(file: Path, notes: Notes) -> tuple[Directive, ...]:
    """Return the directives of a file; raises ImportRefusedError with file and line."""
    return _Reader(file.parent.absolute(), notes).read(file, 0)


class _Reader:
    """Reads a file and all that it includes, within bounds."""

    def __init__(self, base: Path, notes: Notes) -> None:
        self._base = base
        self._notes = notes
        self._files = 0
        self._directives = 0

    def read(self, file: Path, depth: int) -> tuple[Directive, ...]:
        self._files += 1
        tokens = Tokens(_text(file), str(file))
        return tuple(self._block(tokens, file, depth, 0))

    def _block(self, tokens: Tokens, file: Path, depth: int, level: int) -> Iterator[Directive]:
        while True:
            token = tokens.take()
            match token.mark:
                case Mark.NOTHING if level == 0:
                    return
                case Mark.NOTHING:
                    raise tokens.refusal(token.line, "the file ends within a block: a } is missing")
                case Mark.CLOSE if level > 0:
                    return
                case Mark.WORD:
                    directive = self._directive(tokens, token, file, depth, level)
                    included = directive.name == "include" and len(directive.arguments) == 1
                    yield from self._included(directive, depth) if included else (directive,)
                case _:
                    raise tokens.refusal(token.line, f'unexpected "{token.text}"')

    def _directive(self, tokens: Tokens, name: Token, file: Path, depth: int, level: int) -> Directive:
        self._directives += 1
        if self._directives > _MOST_DIRECTIVES:
            raise tokens.refusal(name.line, f"more than {_MOST_DIRECTIVES} directives")
        arguments: list[str] = []
        while (token := tokens.take()).mark is Mark.WORD:
            arguments.append(token.text)
        block: tuple[Directive, ...] = ()
        match token.mark:
            case Mark.OPEN if name.text.endswith("_by_lua_block"):
                tokens.skip_code()
            case Mark.OPEN:
                if level >= _DEEPEST_BLOCK:
                    raise tokens.refusal(token.line, f"blocks nested deeper than {_DEEPEST_BLOCK}")
                block = tuple(self._block(tokens, file, depth, level + 1))
            case Mark.END:
                pass
            case _:
                found = f'"{token.text}"' if token.text else "the end of the file"
                raise tokens.refusal(name.line, f'"{name.text[:60]}" needs ; or a block, found {found}')
        return Directive(name.text, tuple(arguments), str(file), name.line, block)

    def _included(self, directive: Directive, depth: int) -> Iterator[Directive]:
        found = self._found(directive.first)
        name = os.path.basename(directive.first)
        if name in _NEEDLESS_FILES:
            self._notes.needless("", f"include {name}", _NEEDLESS_FILES[name])
            return
        if not found and not glob.has_magic(directive.first):
            self._notes.left_out(directive.place, directive.text, "there is no such file here")
        for file in found:
            if depth >= _DEEPEST_INCLUDE:
                raise refused(
                    directive.file, directive.line, f"files included deeper than {_DEEPEST_INCLUDE} levels"
                )
            if self._files >= _MOST_FILES:
                raise refused(directive.file, directive.line, f"more than {_MOST_FILES} included files")
            yield from self.read(Path(file), depth + 1)

    def _found(self, pattern: str) -> list[str]:
        """Return the files that a pattern names: in a copied tree around the first file, else as it stands."""
        if not pattern or "\0" in pattern:
            return []
        if not os.path.isabs(pattern):
            return _matching(self._base, pattern)
        if Path(pattern).is_relative_to(self._base):
            return sorted(glob.glob(pattern))
        return self._copied(pattern) or sorted(glob.glob(pattern))

    def _copied(self, pattern: str) -> list[str]:
        parts = Path(pattern).parts[1:]
        # With its folder at least: a pattern alone, such as *.conf, would find the first file itself.
        tails = (os.path.join(*parts[start:]) for start in range(len(parts) - 1))
        places = [(folder, os.path.join(*parts)) for folder in list(self._base.parents)[:2]]
        candidates = (_matching(*place) for place in (*places, *((self._base, tail) for tail in tails)))
        return next(filter(None, candidates), [])


def _matching(folder: Path, pattern: str) -> list[str]:
    return sorted(glob.glob(os.path.join(glob.escape(str(folder)), pattern)))


def _text(file: Path) -> str:
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ImportRefusedError(f"{file}: not a file")
        if status.st_size > _LARGEST_FILE:
            raise ImportRefusedError(f"{file}: larger than 4 MB, which no configuration is")
        with open(file, "rb") as opened:
            return opened.read(_LARGEST_FILE).decode("utf-8", "replace")
    except OSError as exc:
        raise ImportRefusedError(f"{file}: {(exc.strerror or str(exc)).lower()}") from exc
