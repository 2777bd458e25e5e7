"""The places of keys agree with tomllib, over any document that tomllib reads."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.findings import Path
from proxy.config.positions import Repetition, first_repetition, locate

TEXT = '''\
# a comment with [brackets] and = signs
title = "a # no comment"

[server]   # [[site]]
http = [":80",
  "[::1]:80", # ]
]
"quoted key".inner = """
[site]
x = 1 \\""" "quoted" """
admin = {a = 1, b.c = [1, {d = 2}], "e f" = 'it''s' }

[[site]]
domains = ["a"]
  [site.cache]
  ttl = "3s"
  [[site.route]]
  path = '/a'
  [[site.route]]
  path = \'\'\'
/b\'\'\'
  cache.ttl = "1s"

[[site]]
domains = [
  "b",
  "c"
]
  [[site.route]]
  path = "/c"
'''.replace("'it''s'", "'its'")


def test_a_typical_file() -> None:
    tomllib.loads(TEXT)
    lines = locate(TEXT)
    expected: dict[Path, int] = {
        ("title",): 2,
        ("server",): 4,
        ("server", "http"): 5,
        ("server", "http", 0): 5,
        ("server", "http", 1): 6,
        ("server", "quoted key"): 8,
        ("server", "quoted key", "inner"): 8,
        ("server", "admin"): 11,
        ("server", "admin", "b", "c", 1, "d"): 11,
        ("server", "admin", "e f"): 11,
        ("site",): 13,
        ("site", 0): 13,
        ("site", 0, "domains", 0): 14,
        ("site", 0, "cache"): 15,
        ("site", 0, "cache", "ttl"): 16,
        ("site", 0, "route"): 17,
        ("site", 0, "route", 0): 17,
        ("site", 0, "route", 1): 19,
        ("site", 0, "route", 1, "path"): 20,
        ("site", 0, "route", 1, "cache", "ttl"): 22,
        ("site", 1): 24,
        ("site", 1, "domains", 1): 27,
        ("site", 1, "route", 0, "path"): 30,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_line_ends_of_other_systems_count_the_same() -> None:
    assert locate(TEXT.replace("\n", "\r\n")) == locate(TEXT)


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    """Return the paths of all keys and elements in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    for key, item in items:
        found |= paths_of(item, (*path, key))
    return found


class Writer:
    """Writes a document in one of the many ways of TOML, and remembers on which line each path first stood."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.text = ""
        self.lines: dict[Path, int] = {}

    def pick(self, *choices: str) -> str:
        return self.data.draw(st.sampled_from(choices))

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def blank(self) -> None:
        self.text += self.pick("", "\n", " # x = [1] \n", '\t\n\n# "\n')

    def key(self, key: str) -> str:
        bare = key.isascii() and key.replace("-", "a").replace("_", "a").isalnum()
        quoted = ["".join(f"\\u{ord(c):04x}" if c in '"\\' or not c.isprintable() else c for c in key)]
        forms = [f'"{quoted[0]}"', *([key] if bare else [])]
        if "'" not in key and key.isprintable():
            forms.append(f"'{key}'")
        return self.pick("", " ") + self.pick(*forms) + self.pick("", " ", "\t")

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, list):
            self.text += "["
            for index, item in enumerate(value):
                self.blank()
                self.note((*path, index))
                self.value(item, (*path, index))
                self.blank()
                self.text += "," if index < len(value) - 1 else self.pick("", ",")
            self.blank()
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{"
            for index, (key, item) in enumerate(value.items()):
                self.text += ", " if index else " "
                self.pair(key, item, path)
            self.text += " }"
        else:
            self.text += value

    def pair(self, key: str, value: Any, path: Path) -> None:
        self.note((*path, key))
        self.text += self.key(key)
        while isinstance(value, dict) and len(value) == 1 and self.data.draw(st.booleans()):
            [(inner, value)] = value.items()
            path, key = (*path, key), inner
            self.note((*path, key))
            self.text += "." + self.key(key)
        self.text += self.pick("=", " = ")
        self.value(value, (*path, key))

    def table(self, table: dict[str, Any], path: Path, header: str) -> None:
        later: list[tuple[str, Any]] = []
        for key, value in table.items():
            is_tables = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            if (isinstance(value, dict) or is_tables) and self.data.draw(st.booleans()):
                later.append((key, value))
                continue
            self.blank()
            self.pair(key, value, path)
            self.text += self.pick("\n", " # ]\n", "\r\n")
        for key, value in later:
            name = f"{header}.{self.key(key)}" if header else self.key(key)
            self.blank()
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                brackets = ("[[", "]]") if isinstance(value, list) else ("[", "]")
                self.note((*path, key))
                place = (*path, key, index) if isinstance(value, list) else (*path, key)
                self.note(place)
                self.text += f"{brackets[0]}{name}{brackets[1]}\n"
                self.table(item, place, name)


SCALARS = st.sampled_from(
    [
        *("1", "-2.5", "true", "1979-05-27T07:32:00Z", "0x1F", "'a # ] }'", '"\\"[=,]"', '""', "''", "inf"),
        *('"""\n[x]\n\\""" # \\\n  y""""', "'''\n'\nb = ]'''", '"""""x"""', "''''x'''''"),
    ]
)
KEYS = st.sampled_from(["a", "b", "site", "x-y", "1", "a b", "ä", "a.b", "'", '"', "=", "#", "]", ""])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.data())
def test_every_key_of_any_document_is_found_on_its_line(
    document: dict[str, Any], data: st.DataObject
) -> None:
    writer = Writer(data)
    writer.table(document, (), "")
    parsed = tomllib.loads(writer.text)
    lines = locate(writer.text)
    assert set(lines) == paths_of(parsed)
    assert lines == writer.lines


@pytest.mark.parametrize(
    "text", ["[", "a = [1", "= 1", "a = {b", "a = \x00", '"', "a.", "[[a]", "a =", "\ud800 = 1", "a = ]"]
)
def test_text_that_is_no_toml_ends_the_walk(text: str) -> None:
    assert set(locate(text)) <= {("a",), ("a", 0), ("a", 1), ("a", "b")}
    assert locate(f"x = 1\n{text}")[("x",)] == 1


@given(st.text(alphabet=list("ab=[]{}\"'\\.,# \n\r\t1"), max_size=60))
def test_any_text_is_walked_to_an_end(text: str) -> None:
    locate(text)


def test_deep_nesting_ends_the_walk() -> None:
    assert locate("x = 1\na = " + "[" * 100_000)[("x",)] == 1


@pytest.mark.parametrize(
    ("text", "repetition"),
    [
        ("a = 1\nb = 2\na = 3", Repetition(("a",), 1, 3)),
        ("[a]\nb = 1\n[a]", Repetition(("a",), 1, 3)),
        ("[[site]]\nx = 1\n[[site]]\nx = 1\ny = 2\nx = 3", Repetition(("site", 1, "x"), 4, 6)),
        ("[[site]]\n[site.cache]\n[[site]]\n[site.cache]\n", None),
        ("a = 1\nb = {a = 1, c = 2}", None),
    ],
)
def test_repetitions(text: str, repetition: Repetition | None) -> None:
    assert first_repetition(text) == repetition
