"""The page on certificates lists every reason that metrics may have."""

import re
from pathlib import Path

from autocert.problem import Kind

ROOT = Path(__file__).parents[3]


def test_every_reason_is_listed() -> None:
    table = (ROOT / "docs" / "certificates.md").read_text().partition("## What can be wrong")[2]
    rows = re.findall(r"^\| (`.+`) \|", table, re.MULTILINE)
    listed = [reason for row in rows for reason in re.findall(r"`([a-z0-9-]+)`", row)]
    ours = {
        reason
        for file in (ROOT / "proxy" / "supervisor").glob("certificate*.py")
        for reason in re.findall(r'reason="([a-z0-9-]+)"', file.read_text())
    }
    assert len(ours) >= 6
    assert sorted(listed) == sorted({kind.value for kind in Kind} | ours)


def test_no_alert_is_raised_for_a_warning_or_for_what_was_asked_for() -> None:
    page = (ROOT / "docs" / "certificates.md").read_text()
    alerts = (ROOT / "examples" / "prometheus" / "alerts.yml").read_text()
    warnings = re.findall(r"^\| `([a-z-]+)` \| a warning:", page, re.MULTILINE)
    (excepted,) = re.findall(r'last_problem\{reason!~"([a-z|-]+)"\}', alerts)
    assert excepted.split("|") == sorted((*warnings, "challenges-passed-through"))
