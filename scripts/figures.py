"""Bring the last figures of bench/README.md into the README: `python scripts/figures.py`; a test compares the two."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "README.md"
_SOURCE: Final = ROOT / "bench" / "README.md"
_PROXIES: Final = ("foregate", "nginx", "haproxy", "caddy")
_TABLE: Final = re.compile(r"(?<=<!-- figures: begin -->\n).*?(?=<!-- figures: end -->)", re.DOTALL)
_ROW: Final = re.compile(
    r"^\| ([^|]+) \| (foregate|nginx|haproxy|caddy) [^|]*\| ([0-9.]+ [µm]s) \|", re.MULTILINE
)


def table() -> str:
    """Return CPU time per request by work and proxy, as last measured."""
    found: dict[str, dict[str, str]] = {}
    for work, proxy, figure in _ROW.findall(_SOURCE.read_text(encoding="utf-8")):
        found.setdefault(work.strip(), {})[proxy] = figure
    lines = ["| CPU time for | Foregate | nginx | HAProxy | Caddy |", "|---|---|---|---|---|"]
    for work, figures in found.items():
        lines.append(f"| {work} | {' | '.join(figures.get(proxy, '') for proxy in _PROXIES)} |")
    return "\n".join((*lines, ""))


def current() -> str:
    """Return the table as it stands in the README."""
    match = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    return "" if match is None else match[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
