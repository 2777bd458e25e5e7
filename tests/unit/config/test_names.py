"""Domain names come into one form, and what is none is told apart from what is more than one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.errors import UnacceptableError
from proxy.config.names import is_ip_literal, needs_local_ca, parse_domain, uses_letsencrypt
from proxy.semantics.authority import host_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app.example.com", "app.example.com"),
        ("App.EXAMPLE.com.", "app.example.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN.de", "xn--mnchen-3ya.de"),
        ("mu\u0308nchen.de", "xn--mnchen-3ya.de"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("faß.de", "xn--fa-hia.de"),
        ("日本。jp", "xn--wgv71a.jp"),
        ("\uff41\uff50\uff50.example.com", "app.example.com"),
        ("my_app.internal", "my_app.internal"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0:1", "[2001:db8::1]"),
        ("[::1]", "[::1]"),
        ("*", "*"),
        ("a" * 63 + ".de", "a" * 63 + ".de"),
    ],
)
def test_names_come_into_one_form(text: str, name: str) -> None:
    assert parse_domain(text) == name
    assert parse_domain(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "app.example.com",
        "App.EXAMPLE.com.",
        "192.0.2.1",
        "[2001:db8::1]",
        "my_app.internal",
        "xn--mnchen-3ya.de",
    ],
)
def test_the_form_is_the_one_that_requests_are_looked_up_with(text: str) -> None:
    assert host_name(f"{text}:8080".encode()).decode() == parse_domain(text)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("https://app.example.com/", 'did you mean "app.example.com"?'),
        ("http://app.example.com:8080/x?y", 'did you mean "app.example.com"?'),
        ("app.example.com:443", 'did you mean "app.example.com"?'),
        ("[::1]:443", 'did you mean "[::1]"?'),
        ("app.example.com/admin", 'did you mean "app.example.com"?'),
        (" app.example.com", 'did you mean "app.example.com"?'),
        ("*.example.com", 'wildcards need a DNS challenge: list each name, such as "www.example.com"'),
        (".example.com", 'wildcards need a DNS challenge: list each name, such as "www.example.com"'),
        ("^(www\\.)?example\\.com$", "patterns are not supported: list each name"),
        ("~example", "patterns are not supported: list each name"),
        ("", 'write ["*"] for any name'),
        ("a..b", "empty label"),
        ("-a.com", "label must not start or end with a hyphen"),
        ("a" * 64 + ".de", "label too long"),
        ("a." * 130 + "de", "domain too long"),
        ("ä" * 2000, "the name is too long"),
        ("a" * 2000, "the name is too long"),
        ("münchen_x.de", "the character U+005F cannot be in it"),
        ("xn--a_b.de", "the character U+005F cannot be in it"),
        ("☃.net", "the character U+2603 cannot be in it"),
        ("1.2.3", ""),
        ("256.1.1.1", ""),
        ("a.123", ""),
        ("fe80::1%eth0", ""),
        ("a\0b.de", "the character U+0000 cannot be in it"),
        ("a b.de", "the character U+0020 cannot be in it"),
        ("\ud800.de", "the character U+D800 cannot be in it"),
        (".", ""),
        (3, ""),
        (None, ""),
        (["a.de"], ""),
    ],
)
def test_names_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        parse_domain(value)
    assert caught.value.hint.startswith(hint)
    assert hint or not caught.value.hint or str(value) in (".", "fe80::1%eth0"), caught.value.hint


def test_what_nobody_sees_is_dropped() -> None:
    assert parse_domain("ex\u200bample.com") == "example.com"  # a zero-width space, by the mapping of UTS 46


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_unacceptable(text: str) -> None:
    try:
        name = parse_domain(text)
    except UnacceptableError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert parse_domain(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "app",
        "192.0.2.1",
        "[2001:db8::1]",
        "a.internal",
        "a.test",
        "a.local",
        "b.home.arpa",
        "x.lan",
        "internal",
    ],
)
def test_names_of_no_public_ca(name: str) -> None:
    assert needs_local_ca(name, "letsencrypt", "")
    assert needs_local_ca(name, "https://acme-staging-v02.api.letsencrypt.org/directory", "")
    assert not needs_local_ca(name, "https://pebble:14000/dir", "")


@pytest.mark.parametrize(
    "name", ["app.example.com", "internal.example.com", "notlocal.de", "*", "xn--mnchen-3ya.de"]
)
def test_names_of_a_public_ca(name: str) -> None:
    assert not needs_local_ca(name, "letsencrypt", "")


def test_ip_literals_and_directories_are_told() -> None:
    assert is_ip_literal("192.0.2.1")
    assert is_ip_literal("[::1]")
    assert not is_ip_literal("a.b1")
    assert uses_letsencrypt("letsencrypt-staging")
    assert not uses_letsencrypt("https://ca.internal/")
