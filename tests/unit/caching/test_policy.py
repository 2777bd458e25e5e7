"""Storability and lifetime, rule by rule (RFC 9111 sections 3 and 4.2; deviations are named so)."""

from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.identity import identify
from proxy.caching.key import Pairs, compile_rules
from proxy.caching.outcomes import Reason
from proxy.caching.policy import PASS_SECONDS, PASS_SECONDS_AFTER_ERROR, Terms, Verdict, judge
from proxy.config.schema import Cache
from proxy.semantics.dates import format_http_date

NOW = timegm((2026, 11, 22, 12, 0, 0))
DATE = (b"date", format_http_date(NOW))
SESSION = ((b"cookie", b"session=1"),)


def verdict_of(
    *fields: tuple[bytes, bytes],
    status: int = 200,
    request: Pairs = (),
    settings: Cache | None = None,
    delay: float = 0.0,
    length: int = 100,
    date: tuple[tuple[bytes, bytes], ...] = (DATE,),
) -> Verdict:
    settings = settings or Cache()
    rules = compile_rules(settings, bytes(32))
    return judge(
        status,
        Terms((*date, *fields)),
        identity=identify(request, rules),
        rules=rules,
        settings=settings,
        now=float(NOW),
        delay=delay,
        length=length,
    )


def cc(value: bytes) -> tuple[bytes, bytes]:
    return (b"cache-control", value)


def http_date(offset: int) -> bytes:
    return format_http_date(NOW + offset)


# --- what may be stored


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414])
def test_rfc9110_15_1_heuristically_cacheable_statuses_are_kept_for_ttl(status: int) -> None:
    verdict = verdict_of(status=status)
    assert verdict.reason is None
    assert verdict.lifetime == 3.0


@pytest.mark.parametrize("status", [201, 202, 205, 226, 302, 303, 307, 400, 401, 403, 409, 418, 429, 451])
def test_rfc9111_3_other_statuses_need_explicit_freshness(status: int) -> None:
    assert verdict_of(status=status).reason is Reason.STATUS
    assert verdict_of(cc(b"max-age=60"), status=status).reason is None
    assert verdict_of(cc(b"public"), status=status).reason is None


@pytest.mark.parametrize("status", [100, 103, 206, 304, 500, 501, 502, 503, 504, 599])
@pytest.mark.parametrize("control", [b"", b"max-age=60", b"public, s-maxage=60"])
def test_rfc9111_3_partial_interim_and_failed_responses_are_never_stored(status: int, control: bytes) -> None:
    assert verdict_of(cc(control), status=status).reason is Reason.STATUS


def test_rfc9111_3_3_a_part_under_another_status_is_not_stored() -> None:
    assert verdict_of((b"content-range", b"bytes 0-1/9")).reason is Reason.STATUS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([cc(b"no-store")], Reason.NO_STORE),
        ([cc(b"public, max-age=60, no-store")], Reason.NO_STORE),
        ([cc(b"max-age=60"), cc(b"no-store")], Reason.NO_STORE),
        ([cc(b"no-cache")], Reason.NO_STORE),
        ([cc(b'no-cache="x-header", max-age=60')], Reason.NO_STORE),
        ([cc(b'max-age=60, private="x')], Reason.NO_STORE),
        ([cc(b"must-understand, no-store, max-age=60")], Reason.NO_STORE),
        ([(b"pragma", b"no-cache")], Reason.NO_STORE),
        ([cc(b"private")], Reason.PRIVATE),
        ([cc(b'private="set-cookie", max-age=60')], Reason.PRIVATE),
        ([(b"set-cookie", b"a=1")], Reason.SET_COOKIE),
        ([(b"set-cookie", b"a=1"), cc(b"public, max-age=60")], Reason.SET_COOKIE),
        ([(b"vary", b"*")], Reason.VARY),
        ([(b"vary", b"accept"), (b"vary", b"*")], Reason.VARY),
        ([(b"content-type", b"text/event-stream")], Reason.STREAM),
        ([(b"content-type", b"Multipart/X-Mixed-Replace; boundary=x")], Reason.STREAM),
        ([(b"trailer", b"x-checksum")], Reason.STREAM),
    ],
)
def test_rfc9111_3_what_forbids_storing(fields: list[tuple[bytes, bytes]], reason: Reason) -> None:
    assert verdict_of(*fields).reason is reason


def test_rfc9111_5_4_pragma_beside_cache_control_is_ignored() -> None:
    assert verdict_of((b"pragma", b"no-cache"), cc(b"max-age=60")).reason is None


def test_deviation_rfc9111_5_2_2_7_private_is_stored_under_a_key_with_a_credential() -> None:
    assert verdict_of(cc(b"private"), request=SESSION).reason is None
    assert verdict_of(cc(b"private"), request=((b"x-api-key", b"k"),)).reason is None
    assert verdict_of(cc(b"private"), request=((b"x-requested-with", b"x"),)).reason is Reason.PRIVATE
    assert verdict_of(cc(b"private"), request=((b"cookie", b"_ga=1"),)).reason is Reason.PRIVATE


def test_deviation_rfc9111_3_5_an_answer_to_authorization_is_stored_under_that_credential() -> None:
    assert verdict_of(request=((b"authorization", b"Bearer x"),)).reason is None


@pytest.mark.parametrize("reason_field", [(b"set-cookie", b"x=1"), cc(b"no-store"), (b"vary", b"*")])
def test_a_credential_in_the_key_does_not_lift_other_prohibitions(reason_field: tuple[bytes, bytes]) -> None:
    assert verdict_of(reason_field, request=SESSION).reason is not None


def test_too_large_by_its_length() -> None:
    settings = Cache(object_size=1000)
    assert verdict_of(settings=settings, length=1000).reason is None
    assert verdict_of(settings=settings, length=1001).reason is Reason.TOO_LARGE
    assert verdict_of(settings=settings, length=-1).reason is None


# --- for how long


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ([], 3.0),
        ([cc(b"max-age=1")], 1.0),
        ([cc(b"max-age=2, max-age=1")], 1.0),
        ([cc(b"max-age=3600")], 3.0),
        ([cc(b"max-age=99999999999999999999")], 3.0),
        ([cc(b"s-maxage=1, max-age=60")], 1.0),
        ([cc(b"s-maxage=60, max-age=1")], 3.0),
        ([cc(b"s-maxage=60, max-age=0")], 3.0),
        ([cc(b"max-age=2"), (b"expires", http_date(-10))], 2.0),
        ([(b"expires", http_date(2))], 2.0),
        ([(b"expires", http_date(3600))], 3.0),
        ([(b"expires", http_date(2)), (b"expires", http_date(2))], 2.0),
        ([(b"x-accel-expires", b"1"), cc(b"max-age=60")], 1.0),
        ([(b"x-accel-expires", b"60"), cc(b"max-age=1")], 3.0),
        ([(b"x-accel-expires", b"@%d" % (NOW + 2))], 2.0),
        ([cc(b"public")], 3.0),
    ],
)
def test_rfc9111_4_2_1_an_explicit_shorter_lifetime_wins_a_longer_does_not(
    fields: list[tuple[bytes, bytes]], lifetime: float
) -> None:
    verdict = verdict_of(*fields)
    assert verdict.reason is None
    assert verdict.lifetime == lifetime


@pytest.mark.parametrize(
    "fields",
    [
        [cc(b"max-age=0")],
        [cc(b"s-maxage=0, max-age=60")],
        [cc(b"max-age=x")],
        [cc(b"max-age=-5")],
        [cc(b"max-age")],
        [(b"expires", b"0")],
        [(b"expires", b"-1")],
        [(b"expires", http_date(0))],
        [(b"expires", http_date(-100))],
        [(b"expires", http_date(2)), (b"expires", http_date(3))],
        [(b"x-accel-expires", b"0")],
        [(b"x-accel-expires", b"off")],
        [(b"x-accel-expires", b"@%d" % (NOW - 1))],
        [cc(b"max-age=10"), (b"age", b"10")],
        [cc(b"max-age=10"), (b"age", b"99999999999999")],
    ],
)
def test_rfc9111_4_2_1_what_is_stale_on_arrival_is_not_stored(fields: list[tuple[bytes, bytes]]) -> None:
    assert verdict_of(*fields).reason is Reason.EXPIRED


def test_rfc9111_4_2_1_expires_counts_from_date() -> None:
    date = ((b"date", http_date(-100)),)
    assert verdict_of((b"expires", http_date(-98)), date=date).reason is Reason.EXPIRED
    assert verdict_of((b"expires", http_date(2)), date=()).lifetime == 2.0


@pytest.mark.parametrize(
    ("fields", "delay", "age"),
    [
        ([DATE], 0.0, 0),
        ([(b"date", http_date(-2))], 0.0, 2),
        ([(b"date", http_date(5))], 0.0, 0),
        ([DATE, (b"age", b"7")], 0.0, 7),
        ([DATE, (b"age", b"7, 3")], 0.0, 7),
        ([DATE, (b"age", b"x")], 0.0, 0),
        ([DATE, (b"age", b"-7")], 0.0, 0),
        ([(b"date", http_date(-9)), (b"age", b"7")], 0.0, 9),
        ([DATE, (b"age", b"7")], 2.5, 9),
        ([DATE], 2.5, 2),
        ([(b"date", b"junk")], 0.0, 0),
        ([], 0.0, 0),
    ],
)
def test_rfc9111_4_2_3_age_at_arrival(fields: list[tuple[bytes, bytes]], delay: float, age: int) -> None:
    assert verdict_of(*fields, date=(), delay=delay).initial_age == age


def test_rfc9111_4_2_4_the_age_at_arrival_uses_up_an_explicit_lifetime() -> None:
    assert verdict_of(cc(b"max-age=10"), (b"age", b"8")).lifetime == 2.0


def test_rfc9111_4_2_2_a_heuristic_lifetime_is_ours_and_starts_at_arrival() -> None:
    verdict = verdict_of((b"age", b"8"))
    assert (verdict.lifetime, verdict.initial_age) == (3.0, 8)


def test_a_long_ttl_is_allowed() -> None:
    assert verdict_of(settings=Cache(ttl=3600.0)).lifetime == 3600.0


# --- stale


@pytest.mark.parametrize(
    ("control", "revalidate_for", "error_for"),
    [
        (b"", 0.0, 30.0),
        (b"max-age=60", 0.0, 30.0),
        (b"max-age=60, stale-while-revalidate=20", 20.0, 30.0),
        (b"max-age=60, stale-if-error=5", 0.0, 5.0),
        (b"max-age=60, stale-if-error=600", 0.0, 600.0),
        (b"max-age=60, stale-if-error=0", 0.0, 0.0),
        (b"max-age=60, stale-if-error=99999999", 0.0, 86400.0),
        (b"max-age=60, must-revalidate", 0.0, 0.0),
        (b"max-age=60, proxy-revalidate", 0.0, 0.0),
        (b"s-maxage=60", 0.0, 0.0),
        (b"s-maxage=60, stale-while-revalidate=20, stale-if-error=20", 0.0, 0.0),
        (b"must-revalidate, stale-if-error=20", 0.0, 0.0),
    ],
)
def test_rfc9111_4_2_4_and_rfc5861_how_long_stale_answers_are_of_use(
    control: bytes, revalidate_for: float, error_for: float
) -> None:
    verdict = verdict_of(cc(control))
    assert verdict.reason is None
    assert (verdict.revalidate_for, verdict.error_for) == (revalidate_for, error_for)


def test_rfc5861_an_answer_that_is_stale_at_once_is_kept_if_it_says_so_itself() -> None:
    verdict = verdict_of(cc(b"max-age=0, stale-while-revalidate=10"))
    assert (verdict.reason, verdict.lifetime, verdict.revalidate_for) == (None, 0.0, 10.0)
    assert verdict_of(cc(b"max-age=0, must-revalidate, stale-while-revalidate=10")).reason is Reason.EXPIRED


# --- what is remembered of refusals


def test_an_error_is_remembered_shortly_and_an_uncacheable_page_longer() -> None:
    assert verdict_of(status=503).pass_for == PASS_SECONDS_AFTER_ERROR
    assert verdict_of(cc(b"no-store")).pass_for == PASS_SECONDS
    assert verdict_of().pass_for == 0.0


controls = st.lists(
    st.sampled_from(
        [
            b"no-store",
            b"no-cache",
            b"private",
            b"public",
            b"max-age=5",
            b"max-age=0",
            b"s-maxage=1",
            b"(bad)",
            b"must-revalidate",
        ]
    ),
    max_size=4,
)


@given(controls, st.sampled_from([200, 206, 302, 404, 500]), st.booleans(), st.booleans())
def test_no_combination_stores_what_is_forbidden(
    control: list[bytes], status: int, cookie: bool, session: bool
) -> None:
    fields = [cc(b", ".join(control))] + ([(b"set-cookie", b"a=1")] if cookie else [])
    verdict = verdict_of(*fields, status=status, request=SESSION if session else ())
    forbidden = {b"no-store", b"no-cache", b"(bad)"} & set(control) or cookie or status in (206, 500)
    if forbidden or (b"private" in control and not session):
        assert verdict.reason is not None
    if verdict.reason is None:
        assert 0 < verdict.lifetime <= 3.0
