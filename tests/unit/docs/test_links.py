"""Links lead somewhere, and every page can be reached from the README."""

import re
from pathlib import Path

import pytest

from tests.fakes.pages import ROOT, anchors, links, pages


def _target(page: Path, link: str) -> tuple[Path, str]:
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        target, anchor = _target(page, link)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        place = waiting.pop()
        if place in reached:
            continue
        reached.add(place)
        # A folder shows its pages to whoever looks into it.
        found = (
            sorted(place.glob("*.md"))
            if place.is_dir()
            else [_target(place, link)[0] for link in links(place)]
        )
        waiting += [target for target in found if target.is_dir() or target in pages()]
    assert [str(page.relative_to(ROOT)) for page in pages() if page not in reached] == []


def test_files_that_are_named_in_the_text_exist() -> None:
    named = re.compile(r"`((?:docs|tests|examples|scripts|bench|proxy|acme)/[A-Za-z0-9_./-]+)`")
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in pages()
        for path in named.findall(page.read_text(encoding="utf-8"))
        if "NNNN" not in path and not (ROOT / path).exists()
    ]
    assert missing == []
