"""Write a drafted document as a `proxy.toml` that people like to read."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from proxy.config.findings import show_key
from proxy.config.render import toml_literal
from proxy.importing.draft import Note, Notes, Outcome, Table

_WIDTH: Final = 100
_ORDER: Final = ("domains", "path", "upstream", "redirect", "tls")
_INTRODUCTIONS: Final = {
    Outcome.LEFT_OUT: "Not carried over; decide about each of these:",
    Outcome.CHANGED: "Carried over, and different now:",
    Outcome.NEEDLESS: "Not needed, because Foregate does it by itself or has no use for it:",
}


def proxy_toml(document: Table, notes: Notes, origin: str) -> str:
    """Return the whole file, what could not be carried over first, in comments."""
    lines = [f"# Made by `foregate import {_one_line(origin)}`."]
    for outcome, introduction in _INTRODUCTIONS.items():
        found = notes.of(outcome)
        if found:
            lines += ["#", f"# {introduction}", *(f"#   {_one_line(text)}" for text in _texts(found))]
    for name, table in document.items():
        if name != "site" and table:
            lines += ["", f"[{name}]", *_lines(table, (name,), "")]
    for site in document.get("site", ()):
        lines += ["", "[[site]]", *_lines(site, ("site",), "")]
    return "\n".join(lines) + "\n"


def _lines(table: Table, path: tuple[str, ...], indent: str) -> Iterator[str]:
    """Yield a table's keys, then the tables in it that are too long for a line, then its routes."""
    keys = sorted(table, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    long = [name for name in keys if isinstance(table[name], dict) and len(_assignment(table, name)) > _WIDTH]
    for name in keys:
        if name not in long and name != "route":
            yield f"{indent}{_assignment(table, name)}"
    for name in long:
        yield from ("", f"{indent}  [{'.'.join((*path, name))}]")
        yield from (f"{indent}  {_assignment(table[name], key)}" for key in table[name])
    for route in table.get("route", ()):
        yield from ("", f"{indent}  [[{'.'.join((*path, 'route'))}]]")
        yield from _lines(route, (*path, "route"), f"{indent}  ")


def _assignment(table: Table, name: str) -> str:
    return f"{show_key(name)} = {_literal(table[name])}"


def _literal(value: Any) -> str:
    # The one character that JSON leaves as it is and TOML does not allow.
    return toml_literal(value).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """Return text that cannot end the comment that it stands in, nor say anything to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def summary(notes: Notes) -> Iterable[str]:
    """Yield what to tell on the terminal, by outcome."""
    for outcome in Outcome:
        found = notes.of(outcome)
        if found:
            yield f"{outcome.value}:"
            yield from (f"  {_one_line(text)}" for text in _texts(found))


def _texts(notes: Iterable[Note]) -> Iterator[str]:
    """Yield the lines of notes; those without a place that have the same reason share one."""
    shared: dict[str, list[str]] = {}
    for note in notes:
        if note.place:
            yield str(note)
        else:
            shared.setdefault(note.reason, []).append(note.subject)
    yield from (f"{', '.join(subjects)}: {reason}" for reason, subjects in shared.items())
