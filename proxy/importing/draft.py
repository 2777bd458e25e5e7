"""What an import has gathered so far: the document, the notes, certificates and accounts."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

Table: TypeAlias = dict[str, Any]  # a TOML table


class Outcome(Enum):
    """What became of something in the old configuration; the values are headings."""

    LEFT_OUT = "Not carried over"
    CHANGED = "Carried over with a difference"
    NEEDLESS = "Not needed here"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that does not stand in the new file as it stood in the old one."""

    outcome: Outcome
    place: str
    subject: str
    reason: str

    def __str__(self) -> str:
        """Say it in one line, the place first."""
        where = f"{self.place}: " if self.place else ""
        return " ".join(f"{where}{self.subject}: {self.reason}".split())


class Notes:
    """Notes in the order in which they were made, each once."""

    def __init__(self) -> None:
        self._notes: dict[Note, None] = {}

    def left_out(self, place: str, subject: str, reason: str) -> None:
        """Note what the new file lacks."""
        self._notes[Note(Outcome.LEFT_OUT, place, subject, reason)] = None

    def changed(self, place: str, subject: str, reason: str) -> None:
        """Note what works in another way now."""
        self._notes[Note(Outcome.CHANGED, place, subject, reason)] = None

    def needless(self, place: str, subject: str, reason: str) -> None:
        """Note what Foregate does by itself, or what has no meaning for it."""
        self._notes[Note(Outcome.NEEDLESS, place, subject, reason)] = None

    def of(self, outcome: Outcome) -> list[Note]:
        """Return the notes of one kind."""
        return [note for note in self._notes if note.outcome is outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCertificate:
    """A certificate with its chain and key; `directory` is the URL of the CA's ACME directory."""

    place: str
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAccount:
    """An account at a CA, its key in PEM on P-256."""

    place: str
    key_pem: bytes = field(repr=False)
    uri: str
    directory: str


@dataclass(slots=True)
class Draft:
    """An import under way; readers add to it."""

    document: Table = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    certificates: list[FoundCertificate] = field(default_factory=list)
    accounts: list[FoundAccount] = field(default_factory=list)

    @property
    def sites(self) -> list[Table]:
        """Return the tables [[site]], which may be added to."""
        sites: list[Table] = self.document.setdefault("site", [])
        return sites

    def table(self, name: str) -> Table:
        """Return a table of the top level, which is made when it is missing."""
        table: Table = self.document.setdefault(name, {})
        return table
