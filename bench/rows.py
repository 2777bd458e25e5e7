"""What is measured: the rows of the promise in numbers, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LARGE_BODY = 10_000_000
SMALL_BODY = 853
HOST = "localhost"  # a name that wrk can resolve: what it connects to is what it names in TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of work.

    `site` names the lines in bench/proxies.py that make the configurations do it; `must` and `aim` are the
    promised ratios of Foregate's CPU time to nginx's.
    """

    name: str
    title: str
    site: Literal["pass", "hit", "limited"]
    path: str = "/small"
    scheme: Literal["http", "https"] = "http"
    connections: int = 32
    new_connections: bool = False
    status: int = 200
    body: int | None = SMALL_BODY
    must: float | None = None
    aim: float | None = None


ROWS = (
    Row(name="hit-http", title="cache hit, http", site="hit", must=1.0, aim=0.7),
    Row(
        name="hit-https",
        title="cache hit, https",
        site="hit",
        scheme="https",
        must=1.0,
        aim=0.7,
    ),
    Row(name="pass-http", title="pass-through, http", site="pass", must=1.6, aim=1.0),
    Row(
        name="pass-https",
        title="pass-through, https",
        site="pass",
        scheme="https",
        must=1.5,
        aim=1.0,
    ),
    Row(
        name="large-http",
        title="10 MB body, http",
        site="pass",
        path="/large",
        connections=4,
        body=LARGE_BODY,
        must=1.1,
        aim=0.8,
    ),
    Row(
        name="large-https",
        title="10 MB body, https",
        site="pass",
        path="/large",
        scheme="https",
        connections=4,
        body=LARGE_BODY,
        must=1.1,
        aim=0.8,
    ),
    Row(
        name="new-https",
        title="new connection, https",
        site="pass",
        scheme="https",
        new_connections=True,
        must=1.3,
        aim=1.1,
    ),
    Row(name="new-http", title="new connection, http", site="pass", new_connections=True, must=1.6, aim=1.1),
    Row(
        name="limited-http",
        title="limited (429), http",
        site="limited",
        status=429,
        body=None,
    ),
)


def chosen_rows(names: str) -> tuple[Row, ...]:
    """Pick rows by a comma-separated list of names; "" means all.

    Raises ValueError for a name that is not there.
    """
    if not names:
        return ROWS
    by_name = {row.name: row for row in ROWS}
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in wanted)
