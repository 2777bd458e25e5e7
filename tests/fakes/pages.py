"""The pages of the documentation: their snippets, commands and links.

An HTML comment `<!-- not run: reason -->` on the line above a snippet excepts it from being tried, for that reason.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]*) *\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_EXCEPTION: Final = re.compile(r"<!-- not run: (.+) -->\s*\Z")
_HEREDOC: Final = re.compile(r"<<'?([A-Z]+)'?[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(<?([^)\s>]+)>?\)")
_HEADING: Final = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
_ANCHOR: Final = re.compile(r'<a id="([^"]+)">')
_SEPARATORS: Final = frozenset(("|", "||", "&&", ";", "&"))


@dataclass(frozen=True, slots=True)
class Snippet:
    """A fenced block; `excepted` is the reason why it is not tried, "" if it is."""

    page: Path
    line: int
    language: str
    text: str
    excepted: str

    def __str__(self) -> str:
        """Name it for the list of tests."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a snippet: its words, without what is piped into or out of it; `has_input` tells of a pipe."""

    place: str
    words: tuple[str, ...]
    has_input: bool

    @property
    def program(self) -> str:
        """Return the program's name, without a folder."""
        return self.words[0].rpartition("/")[2]

    def __str__(self) -> str:
        """Name it for the list of tests."""
        return f"{self.place}:{' '.join(self.words)}"[:100]


@cache
def pages() -> tuple[Path, ...]:
    """Return README.md and every page below docs/, examples/ and bench/."""
    folders = (ROOT / name for name in ("docs", "examples", "bench"))
    found = (page for folder in folders for page in sorted(folder.rglob("*.md")))
    return (ROOT / "README.md", *(page for page in found if page.name != "template.md"))


@cache
def snippets() -> tuple[Snippet, ...]:
    """Return all fenced blocks."""
    return tuple(snippet for page in pages() for snippet in _snippets(page))


def _snippets(page: Path) -> Iterator[Snippet]:
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        exception = _EXCEPTION.search(text[: match.start()])
        body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Snippet(page, line, match["language"], body, exception[1] if exception else "")


def configurations() -> list[Snippet]:
    """Return the snippets of proxy.toml, those that a command writes into a file included."""
    found = [snippet for snippet in snippets() if snippet.language == "toml"]
    for snippet in snippets():
        for match in _HEREDOC.finditer(snippet.text) if snippet.language == "sh" else ():
            if ".toml" in snippet.text[: match.start()].splitlines()[-1]:
                line = snippet.line + snippet.text.count("\n", 0, match.start(2)) + 1
                found.append(Snippet(snippet.page, line, "toml", match[2], snippet.excepted))
    return found


def commands(snippet: Snippet) -> Iterator[Command]:
    """Yield the commands of a snippet of shell."""
    text = _HEREDOC.sub(lambda match: "\n" * match[0].count("\n"), snippet.text)
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        splitter = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        splitter.whitespace_split = True
        words: list[str] = []
        has_input = False
        for word in (*splitter, ";"):
            if word not in _SEPARATORS:
                words.append(word)
                continue
            if words := _without_variables(words):
                yield Command(f"{snippet}+{number}", tuple(words), has_input)
            words, has_input = [], word == "|"


def _without_variables(words: list[str]) -> list[str]:
    """Leave out variables that are set for a command, and where its output goes."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    for mark in (">", ">>", "<", "2>"):
        if mark in words:
            words = words[: words.index(mark)]
    return words


def links(page: Path) -> list[str]:
    """Return the targets of a page's links that are not on other machines."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what a link to a place in the page may name: headings as GitHub does it, and anchors."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return frozenset((*map(_slug, _HEADING.findall(text)), *_ANCHOR.findall(text)))


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
