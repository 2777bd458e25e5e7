"""Names of metrics on any page are names of metrics; fields of the log are fields of the log."""

import re

from tests.fakes.pages import ROOT, pages

_TABLE = re.compile(r"^\| `(foregate_[a-z_]+)` \|", re.MULTILINE)
_NAME = re.compile(r"\bforegate_[a-z_]+[a-z]\b")


def test_metrics_on_all_pages_exist() -> None:
    known = set(_TABLE.findall((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))
    assert len(known) > 40
    unknown = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in pages()
        for name in _NAME.findall(page.read_text(encoding="utf-8"))
        if name.removesuffix("_bucket") not in known
    ]
    assert unknown == []
