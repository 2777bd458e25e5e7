"""Paths in the form that rules are compared with, and the table of prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.router import PrefixTable, normalise_path, strip_path_prefix


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", b"/"),
        (b"/a?b=/../c", b"/a"),
        (b"/a/../b", b"/b"),
        (b"/a/./b/.", b"/a/b/"),
        (b"/a/..", b"/"),
        (b"/..", b"/"),
        (b"/../../a", b"/a"),
        (b"/%2e%2E/a", b"/a"),
        (b"/%61%2Dx%5f", b"/a-x_"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/a%252e", b"/a%252e"),
        (b"//a///b//", b"/a/b/"),
        (b"/a/...", b"/a/..."),
        (b"/a/.b", b"/a/.b"),
        (b"/a/b../c", b"/a/b../c"),
        (b"*", b"*"),
    ],
)
def test_normal_form(target: bytes, path: bytes) -> None:
    assert normalise_path(target) == path


PATHS = st.lists(
    st.sampled_from([b"/", b"a", b"b", b".", b"%2e", b"%2E", b"%61", b"%2f", b"/..", b"/.", b"?x"])
).map(lambda parts: b"/" + b"".join(parts))


@given(PATHS)
def test_a_normal_form_is_its_own(target: bytes) -> None:
    path = normalise_path(target)
    assert normalise_path(path) == path
    assert path.startswith(b"/")
    assert not {b"", b".", b".."} & set(path.split(b"/")[1:-1])


def test_the_longest_prefix_at_a_segment_boundary_wins() -> None:
    table = PrefixTable({"/a": 1, "/a/b/": 2, "/a/b/c/d": 3})
    expected = {
        b"/": None,
        b"/a": 1,
        b"/a/": 1,
        b"/ax": None,
        b"/a/b": 2,
        b"/a/b/": 2,
        b"/a/bx": 1,
        b"/a/b/c": 2,
        b"/a/b/c/d": 3,
        b"/a/b/c/d/e/f": 3,
    }
    assert {path: table.find(path) for path in expected} == expected


def test_the_prefix_of_everything_is_the_last_resort() -> None:
    assert PrefixTable({"/": 1, "/a": 2}).find(b"/b/c") == 1
    assert PrefixTable({"/": 1, "/a": 2}).find(b"/a/c") == 2
    assert not PrefixTable({})
    assert PrefixTable({}).find(b"/") is None


@pytest.mark.parametrize(
    ("target", "prefix", "stripped"),
    [
        (b"/api/x?y", b"/api/", b"/x?y"),
        (b"/api/x?y", b"/api", b"/x?y"),
        (b"/api", b"/api/", b"/"),
        (b"/api?x", b"/api", b"/?x"),
        (b"/api/%2Fx%41", b"/api", b"/%2Fx%41"),
        (b"/%61pi/x%41", b"/api", b"/xA"),
        (b"/x/../api/y", b"/api", b"/y"),
        (b"/api/../api/admin", b"/api", b"/admin"),
        (b"/api/x/%2e%2E/y", b"/api", b"/y"),
        (b"/api//x", b"/api", b"//x"),
        (b"/api/a.b/..c", b"/api", b"/a.b/..c"),
    ],
)
def test_strips_a_prefix(target: bytes, prefix: bytes, stripped: bytes) -> None:
    assert strip_path_prefix(target, prefix) == stripped


@given(PATHS)
def test_what_is_left_cannot_lead_out_of_the_prefix(target: bytes) -> None:
    path = normalise_path(target)
    if path != b"/a" and not path.startswith(b"/a/"):
        return
    left = normalise_path(strip_path_prefix(target, b"/a"))
    assert (b"/a" + left).rstrip(b"/") == path.rstrip(b"/")
