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
    """Write out groups of alternatives, innermost first, then top-level ones; nothing if they are too many."""
    texts = [text]
    while any(_GROUP.search(one) for one in texts):
        if len(texts) > _MOST:
            return []
        further: list[str] = []
        for one in texts:
            group = _GROUP.search(one)
            if group is None:
                further.append(one)
                continue
            words = [*group[1].split("|"), *([""] if group[2] else [])]
            further += [one[: group.start()] + word + one[group.end() :] for word in words]
        texts = further
    return [name for one in texts for name in re.split(r"[|, ]+", one)]


def is_allowed(pattern: str, name: str) -> bool:
    """Tell whether nginx-auto-ssl would have served a name; patterns that only it understands allow all."""
    names, is_complete = exact_names(pattern)
    return not pattern or not is_complete or name in names
