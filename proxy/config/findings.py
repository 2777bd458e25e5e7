"""What the checks find, before it is known on which line it stands."""

from dataclasses import dataclass
from typing import Any, Final

Path = tuple[str | int, ...]

SMALLEST_FILE: Final = (
    'three lines are enough: [[site]], domains = ["app.example.com"], upstream = "http://app:3000"'
)

# What can be shown of a value: more of it would push the rest of the message off the screen.
_LONGEST_SHOWN: Final = 60
_LONGEST_PATH: Final = 4096
_LARGEST_SHOWN: Final = 10**18
_SECRET_KEYS: Final = frozenset(("admin_token", "eab_hmac_key", "set_request_headers"))


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault at a key.

    `needs` are further keys that the check believed: where one of them is faulty itself, this says nothing.
    """

    path: Path
    found: str
    expected: str
    hint: str = ""
    needs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Caution:
    """A warning at a key."""

    path: Path
    message: str


def key_text(path: Path) -> str:
    """Write a path as an operator would: `site[0].route[1].path`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{show_key(part)}" if text else show_key(part)
    return text


def show_key(key: str) -> str:
    """Write a key, quoted where TOML wants it so."""
    is_bare = key.isascii() and key.replace("-", "a").replace("_", "a").isalnum()
    return key if is_bare and len(key) <= _LONGEST_SHOWN else show(key)


def is_secret(path: Path) -> bool:
    """Tell whether the value at a path must not be shown."""
    return not _SECRET_KEYS.isdisjoint(path)


def show(value: Any) -> str:
    """Write a value for a message: short, in one line, without anything that a terminal obeys."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _show_text(value)
        case int() if abs(value) > _LARGEST_SHOWN:
            return "a very large number"
        case int() | float():
            return str(value)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case None:
            return "nothing"
        case _:
            return f"the {type(value).__name__} {value}"


def show_file(path: str) -> str:
    """Write the path of a file, whole: an operator copies it."""
    return _show_text(path, _LONGEST_PATH)


def _show_text(text: str, longest: int = _LONGEST_SHOWN) -> str:
    shortened = text if len(text) <= longest else f"{text[:longest]}..."
    escaped = "".join(
        character if character.isprintable() and character not in '"\\' else _escape(character)
        for character in shortened
    )
    return f'"{escaped}"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return short or (f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}")
