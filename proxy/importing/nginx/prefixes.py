"""The patterns of nginx's locations and rewrites that are prefixes in disguise."""

import re
from typing import Final

_MOST_ALTERNATIVES: Final = 50
_GROUP: Final = re.compile(r"\((?:\?:)?([^()]*)\)")
_PLAIN: Final = re.compile(r"/(?:[A-Za-z0-9_~/%-]|\\[.\-/+_])*")
_TAILS: Final = ("(.*)$", "(.*)", ".*$", ".*", "(/.*)?$", "(/|$)", "(?:/|$)", "/?$")


def prefixes_of(pattern: str) -> list[str] | None:
    """Return the path prefixes that a pattern stands for, None when it is more than that."""
    if not pattern.startswith("^/"):
        return None
    found = []
    for alternative in _alternatives(pattern[1:]):
        bare = next(
            (alternative.removesuffix(tail) for tail in _TAILS if alternative.endswith(tail)), alternative
        )
        if not _PLAIN.fullmatch(bare):
            return None
        found.append(bare.replace("\\", ""))
    return found


def _alternatives(pattern: str) -> list[str]:
    """Return what a pattern with one group of alternatives, the first with a |, stands for."""
    for match in _GROUP.finditer(pattern):
        words = match[1].split("|")
        if len(words) > 1 and "" not in words and len(words) <= _MOST_ALTERNATIVES:
            if match[0] in ("(/|$)", "(?:/|$)"):
                continue
            return [f"{pattern[: match.start()]}{word}{pattern[match.end() :]}" for word in words]
    return [pattern]


def strips_prefix(path: str, pattern: str, replacement: str) -> bool:
    """Tell whether a rewrite takes a location's own prefix away and does nothing else."""
    bare = re.escape(path.rstrip("/")).replace("\\-", "-")
    unescaped = path.rstrip("/")
    for prefix in (bare, unescaped):
        if replacement == "/$1" and pattern in (
            f"^{prefix}/(.*)$",
            f"^{prefix}/(.*)",
            f"^{prefix}/?(.*)$",
            f"{prefix}/(.*)$",
        ):
            return True
        if replacement == "$1" and pattern in (f"^{prefix}(/.*)$", f"^{prefix}(/.*)"):
            return True
    return False
