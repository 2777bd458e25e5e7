"""Listen addresses, upstreams and networks: every form that is taken, and the guess for those that are not."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import addresses
from proxy.config.errors import UnacceptableError
from proxy.config.schema import ListenAddress, UnixAddress, Upstream


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":80", "", 80),
        (":0", "", 0),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("[::1]:8080", "::1", 8080),
        ("[::]:80", "::", 80),
        ("[2001:DB8:0::1]:80", "2001:db8::1", 80),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
    ],
)
def test_listen_addresses(text: str, host: str, port: int) -> None:
    address = addresses.parse_listen(text)
    assert address == ListenAddress(host=host, port=port)
    assert addresses.parse_listen(addresses.format_listen(address)) == address


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("80", 'did you mean ":80"?'),
        (80, 'did you mean ":80"?'),
        ("*:80", 'did you mean ":80"?'),
        ("localhost:80", 'did you mean "127.0.0.1:80"?'),
        ("::1:8080", 'did you mean "[::1]:8080"?'),
        ("127.0.0.1", "the port is missing"),
        ("example.com:80", "names are not resolved here: write an IP address"),
        ("256.0.0.1:80", ""),
        (":65536", ""),
        (":-1", ""),
        (":٨٠", ""),
        ("", ""),
        (":80\n", ""),
        (True, ""),
        (10**30, ""),
        (None, ""),
        (["127.0.0.1:80"], ""),
    ],
)
def test_listen_addresses_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        addresses.parse_listen(value)
    assert caught.value.hint == hint


def test_metrics_may_be_switched_off_and_admin_may_not() -> None:
    assert addresses.parse_metrics("") is None
    assert addresses.parse_metrics(":9145") == ListenAddress(host="", port=9145)
    with pytest.raises(UnacceptableError) as caught:
        addresses.parse_admin("")
    assert caught.value.hint == "it cannot be switched off: reload, status and certs go through it"


def test_admin_is_a_socket_or_an_address() -> None:
    assert addresses.parse_admin("unix:admin.sock") == UnixAddress(path="admin.sock")
    assert addresses.parse_admin("127.0.0.1:9146") == ListenAddress(host="127.0.0.1", port=9146)
    for value in ("unix:", "unix:/run/", "unix:a\0b", "admin.sock", 3):
        with pytest.raises(UnacceptableError, match="a unix socket such as"):
            addresses.parse_admin(value)


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("http://app:3000", Upstream(scheme="http", host="app", port=3000)),
        ("http://app", Upstream(scheme="http", host="app", port=80)),
        ("https://app/", Upstream(scheme="https", host="app", port=443)),
        ("HTTP://My_App:1", Upstream(scheme="http", host="my_app", port=1)),
        ("http://10.0.0.1:8080", Upstream(scheme="http", host="10.0.0.1", port=8080)),
        ("http://[2001:db8::1]:8080", Upstream(scheme="http", host="2001:db8::1", port=8080)),
        ("https://bücher.example", Upstream(scheme="https", host="xn--bcher-kva.example", port=443)),
        ("unix:/run/app.sock", Upstream(scheme="unix", path="/run/app.sock")),
    ],
)
def test_upstreams(text: str, upstream: Upstream) -> None:
    assert addresses.parse_upstream(text) == upstream
    assert addresses.parse_upstream(addresses.format_upstream(upstream)) == upstream


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("app:3000", 'did you mean "http://app:3000"?'),
        ("app", 'did you mean "http://app"?'),
        ("10.0.0.1:80", 'did you mean "http://10.0.0.1:80"?'),
        ("[::1]:80", 'did you mean "http://[::1]:80"?'),
        ("/run/app.sock", 'did you mean "unix:/run/app.sock"?'),
        ("unix:///run/app.sock", 'did you mean "unix:/run/app.sock"?'),
        ("http://unix:/run/app.sock", 'did you mean "unix:/run/app.sock"?'),
        ("unix:app.sock", ""),
        ("unix:/" + "a" * 107, ""),
        ("ws://app:3000", 'did you mean "http://app:3000"? WebSockets need no scheme of their own'),
        ("wss://app", 'did you mean "https://app"? WebSockets need no scheme of their own'),
        ("grpc://app:50051", "upstreams are spoken to in HTTP/1.1"),
        ("ftp://app", ""),
        ("http:app", ""),
        ("http://", ""),
        ("http://app:0", ""),
        ("http://app:65536", ""),
        ("http://app:\uff13\uff10", ""),
        ("http://app:3000/base", "an upstream has no path: the path of the request is forwarded as it came"),
        ("http://app?x=1", "an upstream has no query and no fragment"),
        (
            "http://user:secret@app",
            "an upstream has no user name; set an Authorization field with set_request_headers",
        ),
        ("http://a..b", "empty label"),
        ("http://256.1.1.1", "256.1.1.1 is not an IP address"),
        ("http://[::zz]", "::zz is not an IP address"),
        ("http://a\r\nb", ""),
        ("", ""),
        (3000, ""),
    ],
)
def test_upstreams_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        addresses.parse_upstream(value)
    assert hint in caught.value.hint
    assert hint or not caught.value.hint or "\r" in str(value), caught.value.hint


@given(st.text(max_size=60) | st.from_regex(r"(https?|unix)://?[a-z0-9.:\[\]/@_-]{0,30}", fullmatch=True))
def test_any_text_is_an_upstream_or_unacceptable(text: str) -> None:
    try:
        upstream = addresses.parse_upstream(text)
    except UnacceptableError:
        return
    assert addresses.parse_upstream(addresses.format_upstream(upstream)) == upstream


@pytest.mark.parametrize("text", ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1", "0.0.0.0/0", "::/0"])
def test_networks(text: str) -> None:
    assert addresses.parse_network(text) == ip_network(text)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("10.0.0.1/8", 'did you mean "10.0.0.0/8"?'),
        ("2001:db8::1/32", 'did you mean "2001:db8::/32"?'),
        ("10.0.0.0/255.0.0.0", "write the prefix length, not a mask"),
        ("10.0.0.0/", "write the prefix length, not a mask"),
        ("10.0.0.0/33", ""),
        ("10.0.0.0/٨", "write the prefix length, not a mask"),
        ("::ffff:10.0.0.0/104", 'did you mean "10.0.0.0/8"?'),
        ("010.0.0.0/8", ""),
        ("10.0.0/8", ""),
        ("fe80::1%eth0", ""),
        ("fe80::%eth0/64", ""),
        ("", ""),
        (10, ""),
        (10**30, ""),
    ],
)
def test_networks_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        addresses.parse_network(value)
    assert caught.value.hint == hint


def test_presets_stay_names_where_they_are_taken() -> None:
    assert addresses.parse_trusted("cloudflare") == "cloudflare"
    assert addresses.parse_trusted("10.0.0.0/8") == ip_network("10.0.0.0/8")
    with pytest.raises(UnacceptableError, match='or "cloudflare" or "private"'):
        addresses.parse_trusted("fastly")


def test_lists_stay_names_where_they_are_taken() -> None:
    assert addresses.parse_firewall_entry("file:blocked.txt") == "file:blocked.txt"
    assert addresses.parse_firewall_entry("10.0.0.0/8") == ip_network("10.0.0.0/8")
    for value in ("file:", "blocked.txt", "cloudflare"):
        with pytest.raises(UnacceptableError):
            addresses.parse_firewall_entry(value)
