"""May this response be stored, and for how long: the decision of a shared cache (RFC 9111 sections 3 and 4.2).

Where Foregate departs from RFC 9111, docs/cache.md says so, and tests assert it: an answer is kept for at most
`ttl` whatever it allows; answers to requests with credentials are kept, each under a key that holds the
credential (section 3.5 and `private` would forbid it); `no-cache` and its kin are simply not stored.
"""

from dataclasses import dataclass
from typing import Final

from proxy.caching.cache_control import LARGEST_DELTA, CacheControl, parse_cache_control, parse_delta
from proxy.caching.conditional import field_values, single_value
from proxy.caching.identity import Identity
from proxy.caching.key import KeyRules, Pairs
from proxy.caching.outcomes import Reason
from proxy.caching.vary import vary_names
from proxy.config.schema import Cache
from proxy.semantics.dates import parse_http_date

#: Cacheable without explicit freshness (RFC 9110 section 15.1), but for 206 and 5xx, which are never stored.
HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414})
#: Responses that go on for as long as somebody listens.
_STREAM_TYPES: Final = (b"text/event-stream", b"multipart/x-mixed-replace")
#: RFC 5861 sets no bound; a day is as long as any stale answer may be of use.
_LONGEST_STALE: Final = 86_400
_FORBID_STALE: Final = (b"must-revalidate", b"proxy-revalidate", b"s-maxage")

#: How long, in seconds, requests for an uncacheable key go straight to the upstream instead of queueing up.
PASS_SECONDS: Final = 10.0
#: The same after an error, which may be gone the next moment.
PASS_SECONDS_AFTER_ERROR: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a response: stored unless `reason` is set. All durations are seconds from its arrival.

    `initial_age` is its age at arrival (RFC 9111 section 4.2.3); `revalidate_for` and `error_for` count from the
    end of `lifetime`; `pass_for` is how long an unstorable answer's key is remembered as such.
    """

    reason: Reason | None
    lifetime: float = 0.0
    initial_age: int = 0
    revalidate_for: float = 0.0
    error_for: float = 0.0
    vary: tuple[bytes, ...] = ()
    pass_for: float = 0.0


def judge(
    status: int,
    response: Pairs,
    *,
    identity: Identity,
    rules: KeyRules,
    settings: Cache,
    now: float,
    delay: float = 0.0,
    length: int = -1,
) -> Verdict:
    """Decide whether the response to an admitted GET may be stored, and for how long.

    `now` is the time of its head's arrival in seconds since the epoch, `delay` the seconds since the request
    was sent, `length` the octet count of its content or -1.
    """
    control = parse_cache_control(field_values(response, b"cache-control"))
    reason = _prohibition(status, response, control, identity, settings, length)
    if reason is not None:
        return _refusal(reason, status)
    vary = vary_names(response, rules)
    if vary is None:
        return _refusal(Reason.VARY, status)
    age = initial_age(response, now, delay)
    explicit = explicit_lifetime(response, control, now)
    if explicit is None and status not in HEURISTIC_STATUSES and b"public" not in control:
        return _refusal(Reason.STATUS, status)
    lifetime = settings.ttl if explicit is None else max(0.0, min(settings.ttl, explicit - age))
    revalidate_for, error_for = stale_allowance(control, settings)
    stale_wanted = b"stale-while-revalidate" in control or b"stale-if-error" in control
    if lifetime <= 0 and not (stale_wanted and (revalidate_for > 0 or error_for > 0)):
        return _refusal(Reason.EXPIRED, status)
    return Verdict(
        reason=None,
        lifetime=lifetime,
        initial_age=age,
        revalidate_for=revalidate_for,
        error_for=error_for,
        vary=vary,
    )


def _refusal(reason: Reason, status: int) -> Verdict:
    return Verdict(reason=reason, pass_for=PASS_SECONDS_AFTER_ERROR if status >= 500 else PASS_SECONDS)


def _prohibition(
    status: int, response: Pairs, control: CacheControl, identity: Identity, settings: Cache, length: int
) -> Reason | None:
    """Name what forbids storing, whatever the freshness."""
    names = {name for name, _ in response}
    if status < 200 or status in (206, 304) or status >= 500 or b"content-range" in names:
        return Reason.STATUS
    if b"set-cookie" in names or b"set-cookie2" in names:
        return Reason.SET_COOKIE
    if control.is_malformed or b"no-store" in control or b"no-cache" in control:
        return Reason.NO_STORE
    pragma = b",".join(field_values(response, b"pragma")).lower()
    # Not specified for responses (RFC 9111 section 5.4), but never sent by who wants to be cached.
    if b"no-cache" in pragma and b"cache-control" not in names:
        return Reason.NO_STORE
    if b"private" in control and not identity.credential:
        return Reason.PRIVATE
    content_type = b",".join(field_values(response, b"content-type")).strip().lower()
    if content_type.startswith(_STREAM_TYPES) or b"trailer" in names:
        return Reason.STREAM
    return Reason.TOO_LARGE if length > settings.object_size else None


def explicit_lifetime(response: Pairs, control: CacheControl, now: float) -> int | None:
    """Return the freshness lifetime that the response names, in seconds; None: it names none.

    X-Accel-Expires, which apps behind nginx use to speak to the proxy alone, comes before s-maxage, max-age and
    Expires (RFC 9111 section 4.2.1). What cannot be read counts as no lifetime at all.
    """
    accelerated = field_values(response, b"x-accel-expires")
    if accelerated:
        value = accelerated[0]
        return max(0, parse_delta(value[1:]) - int(now)) if value.startswith(b"@") else parse_delta(value)
    for directive in (b"s-maxage", b"max-age"):
        seconds = control.seconds(directive)
        if seconds is not None:
            return seconds
    expires = field_values(response, b"expires")
    if not expires:
        return None
    moment = parse_http_date(expires[0], now) if len(set(expires)) == 1 else None
    if moment is None:
        return 0
    generated = _date_of(response, now)
    return min(max(0, moment - (int(now) if generated is None else generated)), LARGEST_DELTA)


def initial_age(response: Pairs, now: float, delay: float) -> int:
    """Return a response's age at its arrival, in seconds (corrected_initial_age, RFC 9111 section 4.2.3)."""
    ages = field_values(response, b"age")
    told = parse_delta(ages[0].partition(b",")[0].strip(b" \t")) if ages else 0
    generated = _date_of(response, now)
    apparent = 0 if generated is None else max(0, int(now) - generated)
    return min(max(apparent, told + int(delay)), LARGEST_DELTA)


def _date_of(response: Pairs, now: float) -> int | None:
    value = single_value(response, b"date")
    return None if value is None else parse_http_date(value, now)


def stale_allowance(control: CacheControl, settings: Cache) -> tuple[float, float]:
    """Return for how long a stale answer may be served while it is fetched anew, and while that fails.

    RFC 5861 for the directives, `grace` without them; section 4.2.4 of RFC 9111 for what forbids both.
    """
    if any(directive in control for directive in _FORBID_STALE):
        return 0.0, 0.0
    revalidate = control.seconds(b"stale-while-revalidate") or 0
    if_error = control.seconds(b"stale-if-error")
    error_for = settings.grace if if_error is None else float(if_error)
    return float(min(revalidate, _LONGEST_STALE)), min(error_for, float(_LONGEST_STALE))
