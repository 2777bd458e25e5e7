"""Names: normal form, what public CAs serve, registered domains, folder names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocert.names import (
    BadNameError,
    identifier,
    is_global_address,
    normalise,
    registered_domain,
    served_by_public_ca,
)


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("  example.com ", "example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_acme.example.com", "_acme.example.com"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
    ],
)
def test_normalise(given_name: str, expected: str) -> None:
    assert normalise(given_name) == expected


@pytest.mark.parametrize(
    "bad",
    [
        *("", ".", "a..b", "*.example.com", "bücher.example", "-a.com", "a-.com", "a/b.com", "../x"),
        *("a" * 64 + ".com", "a b.com", "exa\nmple.com", "a." * 127 + "com", "example.com\0"),
    ],
)
def test_normalise_refuses(bad: str) -> None:
    with pytest.raises(BadNameError):
        normalise(bad)


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("example.com", True),
        ("a.b.co.uk", True),
        ("localhost", False),
        ("intranet", False),
        ("db.internal", False),
        ("app.test", False),
        ("printer.local", False),
        ("x.home.arpa", False),
        ("203.0.113.7", False),
        ("2001:db8::1", False),
    ],
)
def test_served_by_public_ca(name: str, served: bool) -> None:
    assert served_by_public_ca(name) is served


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("example.com", "example.com"),
        ("www.example.com", "example.com"),
        ("a.b.c.example.com", "example.com"),
        ("www.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("a.b.example.com.au", "example.com.au"),
        ("me.github.io", "me.github.io"),
        ("x.me.duckdns.org", "me.duckdns.org"),
        ("a.up.railway.app", "a.up.railway.app"),
        # Not in our table: the wider domain, never a narrower one.
        ("shop.kobe.jp", "kobe.jp"),
        ("com", "com"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_registered_domain(name: str, domain: str) -> None:
    assert registered_domain(name) == domain


def test_global_addresses() -> None:
    assert is_global_address("8.8.8.8")
    assert not is_global_address("10.0.0.1")
    assert not is_global_address("example.com")


def test_identifier_is_the_name_itself_when_it_can_be() -> None:
    assert identifier(("example.com",)) == "example.com"


def test_identifier_of_a_set_does_not_depend_on_the_order_of_the_rest() -> None:
    one = identifier(("a.example", "b.example", "c.example"))
    assert one == identifier(("a.example", "c.example", "b.example"))
    assert one.startswith("a.example~")


_LABELS = st.text("ab0", min_size=1, max_size=3)
_NAME = st.lists(_LABELS, min_size=1, max_size=3).map(".".join)
_NAMES = st.lists(_NAME, min_size=1, max_size=3, unique=True)


@given(_NAMES, _NAMES)
def test_identifiers_of_different_sets_differ(one: list[str], other: list[str]) -> None:
    same = identifier(tuple(one)) == identifier(tuple(other))
    assert not same or set(one) == set(other)


@given(st.lists(st.sampled_from(["::1", "2001:db8::1", "10.0.0.1", "a" * 63 + ".example", "*"]), min_size=1))
def test_identifiers_are_safe_file_names(names: list[str]) -> None:
    ident = identifier(tuple(names))
    assert "/" not in ident
    assert ":" not in ident
    assert not ident.startswith(".")
    assert len(ident) <= 240


def test_identifier_of_the_longest_name() -> None:
    assert len(identifier((("a" * 50 + ".") * 5 + "b",))) < 255
