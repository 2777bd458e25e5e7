"""ALLOWED_DOMAINS: the names that a pattern of nginx-auto-ssl stands for, where they can be counted."""

import re
from typing import Final

_MOST: Final = 100
_LONGEST: Final = 1000
_GROUP: Final = re.compile(r"\((?:\?:)?([^()]*)\)(\?)?")
_NAME: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def exact_names(pattern: str) -> tuple[list[str], bool]:
    """Return the names that a pattern lists, and whether it stands for no others."""
    if not pattern:
        return [], True
    text = pattern.strip().removeprefix("^").removesuffix("$").replace("\\.", ".")
    found = _expanded(text) if len(text) <= _LONGEST else []
    names = [name.lower() for name in found if _NAME.fullmatch(name)]
    return list(dict.fromkeys(names)), bool(found) and len(names) == len(found)


def _expanded(text: str) -> list[str]:
    """Write out groups of alternatives, innermost first, and top-level ones."""
    match = _GROUP.search(text)
    if match is None:
        return re.split(r"[|, ]+", text)
    found: list[str] = []
    for word in [*match[1].split("|"), *([""] if match[2] else [])]:
        found += _expanded(f"{text[: match.start()]}{word}{text[match.end() :]}")
        if len(found) > _MOST:
            return []
    return found


def is_allowed(pattern: str, name: str) -> bool:
    """Tell whether nginx-auto-ssl would have served a name; patterns that only it understands allow all."""
    names, is_complete = exact_names(pattern)
    return not pattern or not is_complete or name in names
