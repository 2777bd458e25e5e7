"""Whatever an app makes of a path, a rule for a route holds wherever it may lead."""

import random

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
    assert readings(b"/a//../admin") == frozenset((b"/admin", b"/a/admin"))
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


def test_a_target_is_read_once() -> None:
    routes = OtherReadings({"/admin": "guarded"}, "site")
    assert routes.of(b"/admin;x") is routes.of(b"/admin;x")
    for number in range(5000):
        routes.of(b"/%d" % number)
    assert routes.of(b"/admin;x") == ("guarded", "site")


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
