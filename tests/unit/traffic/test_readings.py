"""Whatever an app makes of a path, a rule for a route holds wherever it may lead."""

import random
import re
from collections.abc import Callable
from posixpath import normpath
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.readings import LONGEST, OtherReadings, readings
from proxy.traffic.router import normalise_path

TRICKS = [
    b"/admin/x",
    b"/public/../admin/x",
    b"/%61dmin/x",
    b"/public/..;/admin/x",
    b"/public/..;a=b/admin/x",
    b"/admin;jsessionid=1/x",
    b"/public/..%2fadmin/x",
    b"/public%2F..%2Fadmin/x",
    b"/%2561dmin/x",
    b"/public%252f..%252fadmin/x",
    b"/public/..%25252fadmin/x",
    b"/public/%2e%2e%5cadmin%5cx",
    b"/public/..%5cadmin/x",
    b"//public/admin/x",
    b"//evil.test/admin/x",
    b"/%5cevil.test/admin/x",
    b"/public/..%c0%afadmin/x",
    b"/public/..%e0%80%afadmin/x",
    b"/public/..%f0%80%80%afadmin/x",
    b"/public/%c0%ae%c0%ae/admin/x",
    b"/admin%20/x",
    b"/admin./x",
    b"/admin%2e/x",
    b"/admin%00/x",
    b"/admin%3fx",
    b"/admin%23x",
    b"/admin%09",
    b"/ADMIN/x",
    b"/public/..;/Admin/x",
    b"/admin%2fx",
    b"/admin?x=/public",
    b"/admin",
    b"/admin/",
    b"/admin;",
    b"/public\\..\\admin",
    b"/%EF%BD%81dmin/x",
    b"/public/%EF%BC%8E%EF%BC%8E/admin",
    b"/public%EF%BC%8F..%EF%BC%8Fadmin",
    b"/public/%E2%80%A5/admin",
    b"/%F0%9D%90%9Admin",
    b"/%e2%93%90dmin",
    b"/admin%C2%A0",
]
HARMLESS = [
    b"/",
    b"/public/admin",
    b"/administrator",
    b"/admin-panel",
    b"/admin.css",
    b"/public/caf%C3%A9",
    b"/public/%E3%81%82%20b.txt",
    b"/public/a%2Fb",
    b"/public/x;v=1/y",
    b"/public//x",
    b"/public?next=/admin",
    b"/public/100%25",
    b"/public/%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82" + b"%D0%B0" * 200,
    b"/public/%E2%80%9Cquoted%E2%80%9D%E2%80%94x",
    b"*",
]


@pytest.fixture
def routes() -> OtherReadings[str]:
    return OtherReadings({"/admin/": "guarded", "/public": "open"}, "site")


@pytest.mark.parametrize("target", TRICKS)
def test_no_spelling_leads_around_a_rule(routes: OtherReadings[str], target: bytes) -> None:
    assert "guarded" in routes.of(target)


@pytest.mark.parametrize("target", HARMLESS)
def test_ordinary_targets_have_nothing_to_do_with_it(routes: OtherReadings[str], target: bytes) -> None:
    assert routes.of(target) in (("open",), ("site",))


@pytest.mark.parametrize("target", [b"/public/..%2f", b"/public%2f../x", b"/public;v=1/x", b"/public/..;/x"])
def test_what_may_leave_an_open_route_is_the_sites_too(routes: OtherReadings[str], target: bytes) -> None:
    assert "site" in routes.of(target)


def test_empty_segments_are_merged_and_kept() -> None:
    assert readings(b"/a//../admin") == frozenset((b"/admin", b"/a/admin", b"/a//../admin"))
    assert readings(b"//x/admin") == frozenset((b"//x/admin", b"/x/admin", b"/admin"))


def test_routes_that_differ_in_case_alone_are_both_meant() -> None:
    routes = OtherReadings({"/Admin": "upper", "/admin": "lower"}, "site")
    assert routes.of(b"/Admin") == ("upper", "lower")
    assert set(routes.of(b"/aDMIN/x")) == {"site", "upper", "lower"}


def test_what_is_long_and_odd_may_lead_anywhere(routes: OtherReadings[str]) -> None:
    assert readings(b"/public/" + b"x" * LONGEST) == frozenset((b"/public/" + b"x" * LONGEST,))
    odd = b"/public;" + b"x" * LONGEST
    assert readings(odd) is None
    assert routes.of(odd) == ("guarded", "open", "site")


def test_what_is_odd_in_many_ways_may_lead_anywhere(routes: OtherReadings[str]) -> None:
    odd = b"/public/%EF%BC%8E;x/a%5c%3f./%2525"
    assert readings(odd) is None
    assert set(routes.of(odd)) == {"guarded", "open", "site"}


def test_a_target_is_read_once() -> None:
    routes = OtherReadings({"/admin": "guarded"}, "site")
    assert routes.of(b"/admin;x") is routes.of(b"/admin;x?whatever")
    for number in range(5000):
        routes.of(b"/%d" % number)
    assert routes.of(b"/admin;x") == ("guarded", "site")


def as_decoded_by_wsgi(path: str) -> str:
    """Decode once and compare as it is."""
    return unquote(path)


def as_resolved_by_nginx(path: str) -> str:
    """Decode once, merge slashes, resolve dots."""
    return normpath(re.sub("/+", "/", unquote(path)))


def as_read_by_tomcat(path: str) -> str:
    """Leave parameters out, decode, merge, resolve."""
    return normpath(re.sub("/+", "/", unquote(re.sub(";[^/]*", "", path))))


def as_read_by_iis(path: str) -> str:
    """Decode twice, take backslashes for slashes, resolve, leave out dots and blanks at ends, fold case."""
    path = normpath(re.sub("/+", "/", unquote(unquote(path)).replace("\\", "/")))
    return "/".join(segment.rstrip(". ") for segment in path.split("/")).lower()


def as_routed_by_express(path: str) -> str:
    """Compare without regard to case, then decode."""
    return unquote(path.lower())


def as_parsed_by_a_url_library(path: str) -> str:
    """Take what follows two slashes for an authority."""
    return unquote(urlsplit(path).path)


def as_read_by_c(path: str) -> str:
    """Decode, and end at the first NUL or question mark."""
    return re.split("[\0?#]", unquote(path))[0]


def as_folded_by_a_framework(path: str) -> str:
    """Decode, then normalise compatibility characters and case."""
    return normpath(re.sub("/+", "/", normalize("NFKC", unquote(path)))).lower()


READERS: list[Callable[[str], str]] = [
    as_decoded_by_wsgi,
    as_resolved_by_nginx,
    as_read_by_tomcat,
    as_read_by_iis,
    as_routed_by_express,
    as_parsed_by_a_url_library,
    as_read_by_c,
    as_folded_by_a_framework,
]
PIECES = (
    *(
        "/",
        "//",
        "/./",
        "/../",
        "..",
        ".",
        ";",
        ";a=b",
        "%2f",
        "%2F",
        "%252f",
        "%5c",
        "%255c",
        "%2e",
        "%252e",
        "%3f",
    ),
    *(
        "%00",
        "%20",
        "%09",
        "%3b",
        "%23",
        "public",
        "admin",
        "ADMIN",
        "%61dmin",
        "%2561dmin",
        "%EF%BD%81dmin",
        "x",
    ),
    *("%EF%BC%8F", "%EF%BC%8E", "%c0%af", "%e2%80%a5"),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_where_a_reader_finds_the_guarded_route_its_rule_holds(reader: Callable[[str], str]) -> None:
    draw = random.Random(reader.__name__)
    routes = OtherReadings({"/admin/": "guarded", "/public": "open"}, "site")
    found = 0
    for _ in range(8000):
        target = "/" + "".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 8)))
        seen = reader(target)
        if seen == "/admin" or seen.startswith("/admin/"):
            found += 1
            assert "guarded" in routes.of(target.encode()), (target, seen)
    assert found > 100


@given(st.binary(max_size=60))
def test_the_normal_form_is_always_among_the_readings(path: bytes) -> None:
    found = readings(b"/" + path)
    assert found is not None
    assert normalise_path(b"/" + path) in found


def test_any_encoding_of_a_way_up_is_followed() -> None:
    draw = random.Random(5)
    routes = OtherReadings({"/admin": "guarded"}, "site")
    for _ in range(2000):
        octets = b"public/../admin/users"
        path = b"/" + b"".join(b"%%%02x" % one if draw.random() < 0.3 else bytes((one,)) for one in octets)
        for _ in range(draw.randrange(3)):
            path = b"".join(b"%25" if one == 0x25 else bytes((one,)) for one in path)
        assert "guarded" in routes.of(path), path
