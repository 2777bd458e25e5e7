"""What is measured: the rows of the promise in numbers, and more, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

LARGE_BODY = 10_000_000
MIDDLE_BODY = 100_000
SMALL_BODY = 853
HOST = "localhost"  # a name that wrk can resolve: what it connects to is what it names in TLS
# Ten thousand clients whose heads differ: more than any memo of heads keeps, each coming back about once a second.
MANY = 10_000
SOME = 1_000  # few enough that a cache of three seconds answers nearly all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of work.

    `site` names the lines in bench/proxies.py that make the configurations do it; `must` and `aim` are the
    promised ratios of Foregate's CPU time to nginx's. `targets` and `cookies` are how many different ones take
    turns; `upload` is the length of the request's content. The answers of a row that is `mixed` come from the
    cache mostly, but not always.
    """

    name: str
    title: str
    site: Literal["pass", "hit", "limited", "websocket"]
    path: str = "/small"
    scheme: Literal["http", "https"] = "http"
    connections: int = 32
    new_connections: bool = False
    status: int = 200
    body: int | None = SMALL_BODY
    targets: int = 1
    cookies: int = 1
    head: Literal["small", "browser", "large"] = "browser"
    upload: int = 0
    workers: int = 1
    must: float | None = None
    aim: float | None = None

    @property
    def method(self) -> str:
        """Name the request's method."""
        return "POST" if self.upload else "GET"

    @property
    def is_simple(self) -> bool:
        """Say whether every request is the same GET on a kept connection, so that any load generator can send it."""
        same = self.targets == self.cookies == 1 and self.head == "browser"
        return same and not self.upload and not self.new_connections and self.site != "websocket"


def _of_both(row: Row, must: float, aim: float, secure_must: float, secure_aim: float) -> tuple[Row, Row]:
    secure = replace(
        row,
        name=row.name.replace("http", "https"),
        title=row.title.replace("http", "https"),
        scheme="https",
        must=secure_must,
        aim=secure_aim,
    )
    return replace(row, must=must, aim=aim), secure


_HIT = Row(name="hit-http", title="cache hit, http", site="hit")
_PASS = Row(name="pass-http", title="pass-through, http", site="pass")
_LARGE = replace(
    _PASS, name="large-http", title="10 MB body, http", path="/large", connections=4, body=LARGE_BODY
)
_NEW = replace(_PASS, name="new-http", title="new connection, http", new_connections=True)
_LIMITED = Row(name="limited-http", title="limited (429), http", site="limited", status=429, body=None)

PROMISED = (
    *_of_both(_HIT, 1.0, 0.7, 1.0, 0.7),
    *_of_both(_PASS, 1.6, 1.0, 1.5, 1.0),
    *_of_both(_LARGE, 1.1, 0.8, 1.1, 0.8),
    *_of_both(_NEW, 1.6, 1.1, 1.3, 1.1),
)
MORE = (
    _LIMITED,
    replace(_LIMITED, name="limited-https", title="limited (429), https", scheme="https"),
    replace(_HIT, name="hit-targets", title=f"cache hit, {SOME:,} targets", targets=SOME),
    replace(_HIT, name="hit-cookies", title=f"cache hit, {SOME:,} clients' cookies", cookies=SOME),
    replace(_HIT, name="mixed-cookies", title=f"hits and misses, {MANY:,} clients' cookies", cookies=MANY),
    replace(_HIT, name="mixed-targets", title=f"hits and misses, {MANY:,} targets", targets=MANY),
    replace(_PASS, name="pass-targets", title=f"pass-through, {MANY:,} targets", targets=MANY),
    replace(_PASS, name="pass-cookies", title=f"pass-through, {MANY:,} clients' cookies", cookies=MANY),
    replace(_HIT, name="hit-small-head", title="cache hit, head of one field", head="small"),
    replace(_PASS, name="pass-small-head", title="pass-through, head of one field", head="small"),
    replace(_HIT, name="hit-large-head", title="cache hit, head of 4 KB", head="large"),
    replace(_PASS, name="pass-large-head", title="pass-through, head of 4 KB", head="large"),
    replace(_HIT, name="hit-100k", title="cache hit, 100 KB body", path="/middle", body=MIDDLE_BODY),
    replace(_PASS, name="pass-100k", title="pass-through, 100 KB body", path="/middle", body=MIDDLE_BODY),
    replace(_PASS, name="upload-100k", title="upload of 100 KB", path="/upload", upload=MIDDLE_BODY),
    replace(
        _PASS, name="upload-10m", title="upload of 10 MB", path="/upload", upload=LARGE_BODY, connections=4
    ),
    Row(name="websocket", title="WebSocket message, there and back", site="websocket", status=101, body=None),
)
TWO_WORKERS = tuple(
    replace(row, name=f"{row.name}-two", title=f"{row.title}, two workers", workers=2, must=None, aim=None)
    for row in (*PROMISED, *MORE)
    if row.name in ("hit-http", "pass-http", "limited-http", "hit-cookies", "hit-targets", "mixed-targets")
)
ROWS = (*PROMISED, *MORE, *TWO_WORKERS)
GROUPS = {"promised": PROMISED, "more": MORE, "two-workers": TWO_WORKERS}


def chosen_rows(names: str) -> tuple[Row, ...]:
    """Pick rows by a comma-separated list of names of rows and groups; "" means all.

    Raises ValueError for a name that is not there.
    """
    if not names:
        return ROWS
    by_name = {**{row.name: (row,) for row in ROWS}, **GROUPS}
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join(by_name)}")
    return tuple(row for name in wanted for row in by_name[name])
