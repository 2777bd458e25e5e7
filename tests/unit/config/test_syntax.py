"""A file that is no TOML gives exactly one fault, with its line and a cure."""

import pytest

from proxy.config.errors import ConfigError
from proxy.config.syntax import LARGEST_FILE, read_document


def refused(source: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read_document(source, "proxy.toml")
    [fault] = caught.value.faults
    assert fault.key == ""
    return str(fault)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = 2\na = 3", "3: found a a second time, expected each key once; it is on line 1 already"),
        (
            "[cache]\n[cache]\nx = 1",
            "2: found cache a second time, expected each key once; it is on line 1 already",
        ),
        ("x.y = 1\nx = 2", "2: found a key a second time, expected each key once"),
        (
            "x = 1\nttl = 3s\n",
            '2: found more after a value at column 8, expected one key a line, and strings in quotes, such as "3s"',
        ),
        (
            "x = yes\n",
            '1: found no TOML value at column 5, expected a string such as "3s", a number, a list, true or false',
        ),
        (
            'x = "a\ny = 1',
            "1: found a string without an end at column 7, expected a closing quote on the same line",
        ),
        ('x = """a\ny = 1', "2: found a string without an end, expected a closing quote"),
        ("x = [1,\ny = 1\n", "2: found"),
        (
            "[[site]\n",
            "1: found half a header at column 7, expected [[site]], with two brackets on both sides",
        ),
        ("[site\n", "1: found half a header at column 6, expected [name], in brackets on one line"),
        ("site\n", "1: found a key without a value at column 5, expected key = value"),
        (
            "x = {a = 1,\nb = 2}",
            "1: found no key at column 12, expected key = value; a table in braces stands on one line",
        ),
        ('x = "\\d"', "1: found a lone backslash at column 8"),
        ('x = "\0"', "1: found a control character at column 6, expected printable text"),
        ("é = 1", "1: found something else at column 1, expected key = value"),
        ("x = {a = 1}\nx.b = 2", "2: found a key for a table in braces"),
    ],
)
def test_faults(text: str, message: str) -> None:
    assert refused(text.encode()).startswith(f"proxy.toml:{message}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"a = 1\nb = '\xff'", "proxy.toml:2: found the byte 0xff, which is not UTF-8"),
        ("a = 1".encode("utf-16"), "proxy.toml:1: found UTF-16, expected UTF-8"),
        (b"a = " + b"9" * 5000, "proxy.toml: found a number with thousands of digits"),
        (b"a = " + b"[" * 100_000, "proxy.toml: found lists or tables within each other without end"),
        (b"a" + b".a" * 100_000 + b" = 1", "proxy.toml: found a key with hundreds of parts"),
        (b"[" + b"'a' . " * 100_000 + b"a]", "proxy.toml: found a key with hundreds of parts"),
        (b"#" * (LARGEST_FILE + 1), f"proxy.toml: found {LARGEST_FILE + 1} bytes"),
    ],
)
def test_hostile_files(source: bytes, message: str) -> None:
    assert refused(source).startswith(message)


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\n",
        b"# nothing",
        b"\xef\xbb\xbfa = 1",
        b"a = 1\r\nb = 2\r\n",
        b"a = '" + b"x" * 3_000_000 + b"'",
        b"a = [" + b"'10.0.0.1', " * 50_000 + b"]",
        b"a = " + b"[" * 100 + b"]" * 100,
    ],
)
def test_files_that_are_read(source: bytes) -> None:
    text, document = read_document(source, "proxy.toml")
    assert not text.startswith("\ufeff")
    assert set(document) <= {"a", "b"}
