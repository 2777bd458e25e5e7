"""Possessive quantifiers only save time: without them the grammar takes and refuses the same, in every CPython."""

import re
from collections.abc import Iterator
from itertools import product

import pytest

from proxy.http1 import grammar

#: A quantifier behind a set or a group that is possessive; "()*+" is part of sets.
POSSESSIVE = re.compile(rb"(?<=[\])])(?<!\(\))([*+])\+")
TARGET = (b"/", b"a", b"%", b"%4", b"%41", b"zz", b"?", b"[", b"]", b":", b"8")
CHUNK = (b"5", b";", b" ", b"a", b"=", b'"', b"\\", b'"x"', b"\x00", b";a=b", b'="')
FIELDS = (b"a", b":", b" ", b"\r\n", b"\r", b"\n", b"A: x\r\n", b"b:\r\n", b"\x00", b"a:")
CASES = [
    ("REQUEST_LINE", b"GET ", TARGET, b" HTTP/1.1"),
    ("ORIGIN_REQUEST_LINE", b"GET /", TARGET, b" HTTP/1.1\r\n"),
    ("ORIGIN_FORM", b"/", TARGET, b""),
    ("ABSOLUTE_FORM", b"http://", TARGET, b""),
    ("HOST", b"", TARGET, b""),
    ("CHUNK_LINE", b"5", CHUNK, b""),
    ("FIELD_SECTION", b"", FIELDS, b"\r\n"),  # as it is always asked
    ("FIELD_LINES", b"", FIELDS, b"\r\n"),
]


def texts(start: bytes, pieces: tuple[bytes, ...], end: bytes) -> Iterator[bytes]:
    """Yield all texts of up to four pieces between a start and an end."""
    for count in range(5):
        for chosen in product(pieces, repeat=count):
            yield start + b"".join(chosen) + end


@pytest.mark.parametrize(("name", "start", "pieces", "end"), CASES, ids=[case[0] for case in CASES])
def test_possessive_or_not_is_the_same(
    name: str, start: bytes, pieces: tuple[bytes, ...], end: bytes
) -> None:
    ours: re.Pattern[bytes] = getattr(grammar, name)
    source, replaced = POSSESSIVE.subn(rb"\1", ours.pattern)
    assert replaced
    plain = re.compile(source)
    taken = 0
    for text in texts(start, pieces, end):
        found, due = ours.fullmatch(text), plain.fullmatch(text)
        assert (found and found.groups()) == (due and due.groups()), text
        taken += found is not None
    assert taken


def test_a_refused_line_of_chunk_extensions_takes_linear_time() -> None:
    """Exponential time would not end within the suite's bound on a test."""
    line = b"5" + b'\t;\ta\t=\t"b"' * 20_000
    assert grammar.CHUNK_LINE.fullmatch(line) is not None
    assert grammar.CHUNK_LINE.fullmatch(line + b"\x00") is None
