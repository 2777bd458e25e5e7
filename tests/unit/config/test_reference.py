"""The committed page is the one that the schema makes, and its examples are configurations."""

import re

import pytest

from proxy.config.loader import parse
from proxy.config.reference import PAGE, page
from proxy.config.site_tables import Document, SiteTable
from proxy.config.unknown_keys import table_class

TEXT = page()


def test_the_committed_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == TEXT, "run: python -m proxy.config.reference"


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_every_block_is_a_valid_file(block: str) -> None:
    assert parse(block.encode(), path="proxy.toml", environ={}).sites


def test_every_key_has_a_row() -> None:
    tables = [table_class(info.annotation) for info in Document.model_fields.values()]
    for table in (*tables, SiteTable):
        assert table is not None
        for key in table.model_fields:
            assert re.search(rf"^\| `{key}` \| [^|]+ \|", TEXT, re.MULTILINE), key


def test_every_row_has_five_cells() -> None:
    rows = [line for line in TEXT.split("\n") if line.startswith("| `") and "` | " in line]
    wide = [line for line in rows if len(re.findall(r"(?<!\\)\|", line)) == 6]
    assert len(wide) > 80


def test_links_lead_to_anchors() -> None:
    headings = {"values"}
    anchors = set(re.findall(r'<a id="([^"]+)">', TEXT)) | headings
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
