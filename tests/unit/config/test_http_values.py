"""Paths, fields, cookies, protocols and redirects: what is taken, and what would open a hole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import http_values
from proxy.config.errors import UnacceptableError
from proxy.traffic.router import normalise_path


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/a/b.c/", "/~x/@y", "/caf%C3%A9/", "/a:b;c=d,e!$&'()*+"]
)
def test_paths(path: str) -> None:
    assert http_values.parse_path(path) == path
    assert normalise_path(path.encode()).decode() == path


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("api", 'did you mean "/api"?'),
        ("~ ^/api", "patterns are not supported: the longest prefix wins"),
        ("^/api", "patterns are not supported: the longest prefix wins"),
        ("/api/*", 'a path is a prefix already: did you mean "/api/"?'),
        ("/a?b=c", 'did you mean "/a"?'),
        ("/a#b", 'did you mean "/a"?'),
        ("/a/../b", 'did you mean "/b"?'),
        ("/./a", 'did you mean "/a"?'),
        ("/a//b", 'did you mean "/a/b"?'),
        ("/%61dmin", 'did you mean "/admin"?'),
        ("/%c3%a9", 'did you mean "/%C3%A9"?'),
        ("/..", 'did you mean "/"?'),
        ("/café", "percent-encode what is not allowed there"),
        ("/a b", "percent-encode what is not allowed there"),
        ("/a%2", "percent-encode what is not allowed there"),
        ("/a\n", "percent-encode what is not allowed there"),
        ("/a\\b", "percent-encode what is not allowed there"),
        ("", ""),
        (3, ""),
    ],
)
def test_paths_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        http_values.parse_path(value)
    assert caught.value.hint == hint


@given(st.from_regex(r"/[a-z./%0-9A-F]{0,20}", fullmatch=True))
def test_a_path_that_is_taken_is_one_that_the_router_compares_with(path: str) -> None:
    try:
        http_values.parse_path(path)
    except UnacceptableError:
        return
    assert normalise_path(path.encode()).decode() == path


def test_probes() -> None:
    for target in ("", "/healthz", "/health?full=1"):
        assert http_values.parse_probe(target) == target
    for value in ("healthz", "/a b", "/a#b", "/a\r\nX: y", "http://app/", 1):
        with pytest.raises(UnacceptableError):
            http_values.parse_probe(value)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "content-length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "Expect",
        "Host",
    ],
)
def test_fields_of_framing_and_connection_are_not_set(name: str) -> None:
    with pytest.raises(UnacceptableError, match="another field"):
        http_values.parse_set_field_name(name)


def test_field_names() -> None:
    assert http_values.parse_set_field_name("X-Device") == "X-Device"
    assert http_values.parse_field_name("X-Device") == "x-device"
    for value in ("", "X Device", "X-Device:", "X\r\nY", "Ünder", "X-Device ", 3):
        with pytest.raises(UnacceptableError):
            http_values.parse_set_field_name(value)


def test_field_values() -> None:
    for text in ("", "a", "a b\tc", 'max-age=3; x="y"', "~!"):
        assert http_values.parse_field_value(text) == text
    for value in ("a\r\nX: y", "a\n", "\ra", "a\0", "a\x7f", "café", 3, True, None):
        with pytest.raises(UnacceptableError) as caught:
            http_values.parse_field_value(value)
        assert not caught.value.hint
    for padded in (" a", "a\t"):
        with pytest.raises(UnacceptableError) as caught:
            http_values.parse_field_value(padded)
        assert caught.value.hint == "it begins or ends with a space"


@given(st.text(max_size=30))
def test_no_field_value_breaks_a_line(text: str) -> None:
    try:
        http_values.parse_field_value(text)
    except UnacceptableError:
        return
    assert text.isascii()
    assert not {"\r", "\n", "\0"} & set(text)


def test_cookies() -> None:
    for name in ("_ga", "_ga_*", "__utm*", "a*b"):
        assert http_values.parse_cookie_glob(name) == name
    for value in ("a b", "a;b", "a=b", "", "é", 3):
        with pytest.raises(UnacceptableError, match="a cookie name such as"):
            http_values.parse_cookie_glob(value)
    for every in ("*", "**"):
        with pytest.raises(UnacceptableError) as caught:
            http_values.parse_cookie_glob(every)
        assert caught.value.hint == "without any cookie in the key users would see each other's pages"


def test_neutral_fields() -> None:
    assert http_values.parse_neutral_field("X-Client-Version") == "x-client-version"
    for value in ("Cookie", "authorization", "Host", "Proxy-Authorization", "a b"):
        with pytest.raises(UnacceptableError):
            http_values.parse_neutral_field(value)


def test_query_parameters() -> None:
    assert http_values.parse_parameter("access_token") == "access_token"
    for value in ("", "a=b", "a&b", "a b", "?a", 3):
        with pytest.raises(UnacceptableError):
            http_values.parse_parameter(value)


def test_upgrades() -> None:
    assert http_values.parse_upgrade("WebSocket") == "websocket"
    assert http_values.parse_upgrade("custom/1.0") == "custom/1.0"
    for cleartext in ("h2c", "H2C", "TLS/1.0", "tls"):
        with pytest.raises(UnacceptableError) as caught:
            http_values.parse_upgrade(cleartext)
        assert caught.value.hint == "h2c and TLS are never upgraded to: they would bypass every rule"
    for value in ("", "a b", "a/b/c", 3):
        with pytest.raises(UnacceptableError):
            http_values.parse_upgrade(value)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("", ""),
        ("https://www.example.com", "https://www.example.com"),
        ("https://www.example.com/", "https://www.example.com"),
        ("http://[::1]:8080/base/", "http://[::1]:8080/base"),
    ],
)
def test_redirects(text: str, prefix: str) -> None:
    assert http_values.parse_redirect(text) == prefix


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("www.example.com", 'did you mean "https://www.example.com"?'),
        ("https://a/?x=1", "path and query of the request are appended to it"),
        ("//www.example.com", ""),
        ("/new", ""),
        ("https://user@www.example.com", ""),
        ("https://a\r\nSet-Cookie: x", ""),
        ("https://[::zz]", ""),
        ("https://a:99999", ""),
        ("javascript:alert(1)", ""),
        (3, ""),
    ],
)
def test_redirects_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        http_values.parse_redirect(value)
    assert caught.value.hint == hint


def test_urls_are_told_by_scheme_and_host() -> None:
    assert http_values.url_scheme_and_host("https://A.example:1/x") == ("https", "a.example")
    assert http_values.url_scheme_and_host("http://[::0001]/") == ("http", "::1")
    assert http_values.url_scheme_and_host("ftp://a") is None
    assert http_values.url_scheme_and_host(3) is None
