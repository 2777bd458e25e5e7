"""What a write makes void besides its target (RFC 9111 section 4.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.written import written_targets

HOST = b"app.example.com"


@pytest.mark.parametrize(
    ("target", "location", "expected"),
    [
        (b"/items", b"/items/7", b"/items/7"),
        (b"/items/new", b"7", b"/items/7"),
        (b"/items/new", b"../list?page=1", b"/list?page=1"),
        (b"/items", b"?sort=new", b"/items?sort=new"),
        (b"/items", b"https://app.example.com/items/7", b"/items/7"),
        (b"/items", b"https://APP.example.com:8443/items/7#top", b"/items/7"),
        (b"/items", b"https://app.example.com", b"/"),
        (b"/items", b"//app.example.com/x", b"/x"),
        (b"/items", b"/caf\xe9", b"/caf\xe9"),
    ],
)
@pytest.mark.parametrize("name", [b"location", b"content-location"])
def test_rfc9111_4_4_location_and_content_location_of_the_same_host(
    name: bytes, target: bytes, location: bytes, expected: bytes
) -> None:
    assert written_targets(target, HOST, ((name, location),)) == (target, expected)


@pytest.mark.parametrize(
    "location",
    [
        b"https://other.example/items",
        b"//other.example/items",
        b"https://app.example.com.evil.example/items",
        b"https://app.example.com@evil.example/items",
        b"https://[app.example.com/items",
        b"mailto:x@app.example.com",
        b"javascript:alert(1)",
        b"/" + b"a" * 20_000,
        b"",
    ],
)
def test_rfc9111_4_4_another_host_and_nonsense_are_left_out(location: bytes) -> None:
    assert written_targets(b"/items", HOST, ((b"location", location),)) == (b"/items",)


def test_without_a_response_or_host_it_is_the_target_alone() -> None:
    assert written_targets(b"/items", HOST) == (b"/items",)
    assert written_targets(b"/items", b"", ((b"location", b"/x"),)) == (b"/items", b"/x")
    assert written_targets(b"/items", b"[bad", ((b"location", b"/x"),)) == (b"/items",)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=20))
def test_no_octets_make_it_fail(target: bytes, location: bytes, host: bytes) -> None:
    found = written_targets(b"/" + target, host, ((b"location", location),))
    assert found[0] == b"/" + target
