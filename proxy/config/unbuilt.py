"""What the schema has and the program has not yet: refused with "not built yet", never silently ignored.

A feature that lands deletes its row; with the last row this module goes too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.config.findings import Finding, Path
from proxy.config.schema import Config


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """One thing to refuse: when, at which key ("tls.eab_kid"), and what to write instead."""

    applies: Callable[[Config], bool]
    key: str
    instead: str


UNBUILT: Final[tuple[Unbuilt, ...]] = ()


def unbuilt_keys(
    config: Config, lines: Callable[[], Mapping[Path, int]], rows: tuple[Unbuilt, ...] = UNBUILT
) -> Iterator[Finding]:
    """Find keys whose feature does not exist yet, wherever `lines` says that they stand in the file."""
    for row in rows:
        if row.applies(config):
            key: Path = tuple(row.key.split("."))
            for place in [path for path in lines() if path[-len(key) :] == key] or [key]:
                yield Finding(place, "a key that is not built yet", row.instead)
