"""Bring the last figures of bench/README.md into the README: `python scripts/figures.py`; a test compares the two."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "README.md"
_SOURCE: Final = ROOT / "bench" / "README.md"
_PROXIES: Final = {
    "foregate": "Foregate",
    "compiled": "... compiled",
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "caddy": "Caddy",
}
_TABLE: Final = re.compile(r"(?<=<!-- figures: begin -->\n).*?(?=<!-- figures: end -->)", re.DOTALL)
_HEADER: Final = "| work |"
#: Of all that is measured, what the README shows: what has a promise, and refusals.
_SHOWN: Final = "limited (429), http"


def table() -> str:
    """Return CPU time per request by work and proxy, as last measured."""
    measured = list(_measured())
    proxies = [proxy for proxy in _PROXIES if proxy in measured[0]]
    lines = [
        f"| CPU time for | {' | '.join(_PROXIES[proxy] for proxy in proxies)} |",
        "|---" * (len(proxies) + 1) + "|",
    ]
    for row in measured:
        if row.get("must") or row["work"] == _SHOWN:
            lines.append(f"| {row['work']} | {' | '.join(row[proxy] for proxy in proxies)} |")
    return "\n".join((*lines, ""))


def _measured() -> Iterator[dict[str, str]]:
    """Yield the rows of the first table with all proxies side by side, by the names of its columns."""
    _, header, rest = _SOURCE.read_text(encoding="utf-8").partition(f"\n{_HEADER} nginx ")
    first, _, body = (header + rest).lstrip("\n").partition("\n")
    names = _cells(first)
    for line in body.splitlines()[1:]:
        if not line.startswith("|"):
            return
        yield dict(zip(names, _cells(line), strict=True))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def current() -> str:
    """Return the table as it stands in the README."""
    match = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    return "" if match is None else match[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
