"""What a fetch for the cache sends of a request: the same plan where nothing is left out, else one of its own."""

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.key import KeyRules, compile_rules
from proxy.caching.outcomes import Reason
from proxy.config.schema import Cache, Limits, Route
from proxy.exchange import Origin
from proxy.http1.memo import RequestMemo
from proxy.http1.request import parse_request_fields
from proxy.plans import RequestPlan, make_plan
from proxy.snapshot import RouteRuntime
from tests.fakes.sections import GOOD_SECTIONS

ORIGIN = Origin(b"http", 80, trusted=False)
if TYPE_CHECKING:
    from proxy.upstream.balancer import Balancer

RULES = compile_rules(Cache(), bytes(32))


def route_with(
    edits: tuple[tuple[str, str], ...] = (),
    *,
    own_host: bool = False,
    rules: KeyRules | None = RULES,
    limits: Limits | None = None,
) -> RouteRuntime:
    route = Route(
        host="upstream" if own_host else "preserve",
        upgrade=("websocket",),
        set_request_headers=edits,
        limits=limits or Limits(),
    )
    return RouteRuntime(route, cast("Balancer", None), None, None, rules, b"")


ROUTE = route_with()


def plan_of(section: bytes) -> RequestPlan:
    fields = parse_request_fields(b"Host: a.example\r\n" + section, 1, 100)
    return make_plan(ROUTE, fields, ORIGIN, b"foregate")


@pytest.mark.parametrize("section", [b"", b"Cookie: session=a; theme=b\r\nAccept: text/html\r\n"])
def test_what_is_sent_whole_needs_no_plan_of_its_own(section: bytes) -> None:
    plan = plan_of(section)
    assert plan.cache is not None
    assert plan.for_fill(RULES) is plan


@pytest.mark.parametrize(
    ("section", "kept"),
    [
        (b"Cookie: _ga=1; session=a\r\n", b"Cookie: session=a\r\n"),
        (b"Cookie: _ga=1\r\nX-A: 1\r\n", b"X-A: 1\r\n"),
        (b'If-None-Match: "x"\r\nX-A: 1\r\n', b"X-A: 1\r\n"),
        (b"Range: bytes=0-1\r\nIf-Range: y\r\nX-A: 1\r\n", b"X-A: 1\r\n"),
        (b"Content-Length: 0\r\nX-A: 1\r\n", b"X-A: 1\r\n"),
        (b"Expect: 100-continue\r\nX-A: 1\r\n", b"X-A: 1\r\n"),
    ],
)
def test_a_fetch_leaves_out_what_must_not_shape_the_answer(section: bytes, kept: bytes) -> None:
    plan = plan_of(section)
    fill = plan.for_fill(RULES)
    assert plan.for_fill(RULES) is fill
    assert fill.make_head().block == kept + plan_of(b"").make_head().block


def test_a_request_with_content_is_not_for_the_cache() -> None:
    plan = plan_of(b"Content-Length: 1\r\n")
    assert plan.cache is not None
    assert plan.cache.bypass is Reason.CONTENT


def test_a_head_is_made_once_and_only_when_wanted() -> None:
    plan = plan_of(b"X-A: 1\r\n")
    assert plan.head is None
    assert plan.make_head() is plan.head


@pytest.mark.parametrize(
    ("via", "expected"), [(b"1.1 foregate", True), (b"1.1 a, 1.1 foregate ", True), (b"1.1 b", False)]
)
def test_who_came_through_us_is_known_without_a_head(via: bytes, expected: bool) -> None:
    assert plan_of(b"Via: " + via + b"\r\n").via_us is expected


# --- plans of sections that differ in their Cookie alone


ROUTES = (
    ROUTE,
    route_with((("X-Api-Key", ""), ("X-New", "1")), own_host=True),
    route_with((("cookie", "ours=1"),)),
    route_with(rules=None, limits=Limits(head_size=90, fields=3, body=1)),
    route_with(rules=compile_rules(Cache(credentials="bypass"), bytes(32))),
)


def facts(plan: RequestPlan) -> tuple[object, ...]:
    filling = plan.for_fill(RULES)
    told: tuple[object, ...] = (plan.refusal, plan.via_us, plan.upgrade_lines, plan.make_head())
    told = (*told, filling.make_head(), filling is plan)
    cached = plan.cache
    if cached is not None:
        identity = cached.identity
        told = (*told, cached.base, cached.bypass, cached.has_range, identity.digest, identity.bypass)
    return told


@given(
    sections=st.lists(GOOD_SECTIONS, min_size=1, max_size=3),
    route=st.sampled_from(ROUTES),
    trusted=st.booleans(),
)
def test_a_plan_is_the_same_however_its_section_was_read(
    sections: list[bytes], route: RouteRuntime, trusted: bool
) -> None:
    origin, memo = Origin(b"https", 443, trusted=trusted), RequestMemo(1)
    for section in sections:
        for cookie in (b"Cookie: ", b"Cookie: z=1; ", b"Cookie: _ga=2; "):
            whole = parse_request_fields(section.replace(b"Cookie: ", cookie), 1, 100)
            parts = memo.parse(section.replace(b"Cookie: ", cookie), 100)
            assert parts.common is not None
            expected = facts(make_plan(route, whole, origin, b"foregate"))
            assert facts(make_plan(route, parts, origin, b"foregate")) == expected
