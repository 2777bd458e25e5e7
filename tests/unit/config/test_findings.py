"""Keys and values are written so that they can be found in the file, and do nothing to a terminal."""

from datetime import date, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.findings import Path, is_secret, key_text, show, show_key


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("site", 0, "route", 12, "path"), "site[0].route[12].path"),
        (("cache", "ttl"), "cache.ttl"),
        (("site", 0, "set_request_headers", "X-A"), "site[0].set_request_headers.X-A"),
        (("a b",), '"a b"'),
        (("server", "ä"), 'server."ä"'),
        (("",), '""'),
        ((), ""),
    ],
)
def test_keys(path: Path, text: str) -> None:
    assert key_text(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10 bananas", '"10 bananas"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\nb\x1b[31m\u202e", '"a\\nb\\u001b[31m\\u202e"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("x" * 1000, '"' + "x" * 60 + '..."'),
        (True, "true"),
        (3, "3"),
        (-2.5, "-2.5"),
        pytest.param(10**5000, "a very large number", id="more digits than Python writes"),
        ([], "an empty list"),
        ([1], "a list"),
        ({"a": 1}, "a table"),
        (None, "nothing"),
        (date(1979, 5, 27), "the date 1979-05-27"),
        (time(7, 32), "the time 07:32:00"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert show(value) == text


@given(st.text())
def test_nothing_that_is_shown_moves_a_cursor(text: str) -> None:
    assert show(text).isprintable()
    assert show_key(text).isprintable()


def test_secrets_are_known_by_their_key() -> None:
    assert is_secret(("server", "admin_token"))
    assert is_secret(("site", 0, "tls", "eab_hmac_key"))
    assert is_secret(("site", 0, "set_request_headers", "X-A"))
    assert not is_secret(("site", 0, "set_response_headers", "X-A"))
    assert not is_secret(("tls", "eab_kid"))
