"""Every test and campaign that docs/security.md names exists, and the counts of its corpus are right."""

import re
from pathlib import Path

from tests.fakes.hostile import REQUESTS, RESPONSES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_named_test_exists() -> None:
    texts: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        texts[path.name] = texts.get(path.name, "") + path.read_text()
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 150
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}(" not in texts.get(file, "") and (name or file not in texts)
    ]
    assert missing == []


def test_every_named_campaign_exists_and_has_its_figures() -> None:
    campaigns = (ROOT / "docs" / "campaigns.md").read_text() + (ROOT / "docs" / "tls.md").read_text()
    for name in set(re.findall(r"`(\w+)\.py`(?!::)", PAGE)) - {"conftest"}:
        if name.startswith("test_"):
            continue
        assert (ROOT / "tests" / "campaigns" / f"{name}.py").exists(), name
        assert f"tests.campaigns.{name}" in campaigns, name


def test_the_corpus_has_as_many_cases_as_the_page_says() -> None:
    counts = (sum(map(len, REQUESTS.values())), sum(map(len, RESPONSES.values())))
    assert f"holds {counts[0]} requests and {counts[1]} responses" in PAGE
