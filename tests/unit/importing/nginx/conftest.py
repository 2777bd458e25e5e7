"""Import one nginx configuration, as the command does it."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from proxy.importing.draft import Draft, Outcome
from proxy.importing.nginx.reader import read_nginx
from proxy.importing.repair import make_valid
from proxy.importing.toml_text import proxy_toml

Imported: TypeAlias = Callable[[str], tuple[dict[str, Any], Draft]]
SiteOf: TypeAlias = Callable[[str], dict[str, Any]]
NotesOf: TypeAlias = Callable[[str, Outcome], list[str]]


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    """Return the document that a configuration amounts to, as it stands in the file that is written."""

    def imported(text: str) -> tuple[dict[str, Any], Draft]:
        (tmp_path / "nginx.conf").write_text(text)
        draft = Draft()
        read_nginx([tmp_path / "nginx.conf"], draft)
        make_valid(draft)
        return tomllib.loads(proxy_toml(draft.document, draft.notes, "nginx nginx.conf")), draft

    return imported


@pytest.fixture
def site(imported: Imported) -> SiteOf:
    """Return the one site of a server block with a body."""

    def site(body: str) -> dict[str, Any]:
        document, _ = imported(f"server {{ listen 443 ssl; server_name a.example.com; {body} }}")
        (found,) = document["site"]
        assert found.pop("domains") == ["a.example.com"]
        return dict(found)

    return site


@pytest.fixture
def notes_of(imported: Imported, tmp_path: Path) -> NotesOf:
    """Return the notes on a server block that has further directives on its second line."""

    def notes_of(body: str, outcome: Outcome) -> list[str]:
        head = "server { listen 443 ssl; server_name a.example.com;"
        _, draft = imported(f"{head}\n{body}\nlocation / {{ proxy_pass http://x; }} }}")
        return [str(note).replace(f"{tmp_path}/", "") for note in draft.notes.of(outcome)]

    return notes_of
