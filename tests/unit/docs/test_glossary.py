"""One word for one thing: the glossary has no word twice, and the pages keep to its words."""

import re

import pytest

from tests.fakes.pages import ROOT, pages

GLOSSARY = ROOT / "docs" / "glossary.md"
# Words that other programs use for what has a word of its own here.
FOREIGN = {
    "backend": "upstream",
    "vhost": "site",
    "virtual host": "site",
    "throttl": "limited",
    "master process": "supervisor",
    "worker thread": "worker",
    "response header": "field",
    "whitelist": "allow",
    "blacklist": "deny",
}


def _words() -> list[str]:
    rows = re.findall(r"^\| ([^|]+) \| [^|-]", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    return [word.strip() for row in rows for word in row.split(",") if word.strip() != "word"]


def test_no_word_is_explained_twice() -> None:
    words = _words()
    assert len(words) > 40
    assert sorted(set(words)) == sorted(words)


@pytest.mark.parametrize("foreign", sorted(FOREIGN))
def test_pages_keep_to_the_words(foreign: str) -> None:
    found = [
        f"{page.relative_to(ROOT)}:{number}: say {FOREIGN[foreign]}"
        for page in pages()
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if foreign in line.lower() and "`" not in line
    ]
    assert found == []
