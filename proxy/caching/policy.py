"""May this response be stored, and for how long: the decision of a shared cache (RFC 9111 sections 3 and 4.2).

Where Foregate departs from RFC 9111, docs/cache.md says so, and tests assert it: an answer is kept for at most
`ttl` whatever it allows; answers to requests with credentials are kept, each under a key that holds the
credential (section 3.5 and `private` would forbid it); `no-cache` and its kin are simply not stored.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from proxy.caching.cache_control import LARGEST_DELTA, CacheControl, parse_cache_control, parse_delta
from proxy.caching.identity import Identity
from proxy.caching.key import KeyRules, Pairs
from proxy.caching.outcomes import Reason
from proxy.caching.record import pairs_of
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
#: Longer field lines are read each time, so that what is remembered stays small.
_LONGEST_REMEMBERED: Final = 4096

#: How long, in seconds, requests for an uncacheable key go straight to the upstream instead of queueing up.
PASS_SECONDS: Final = 10.0
#: The same after an error, which may be gone the next moment.
PASS_SECONDS_AFTER_ERROR: Final = 1.0


class Verdict(NamedTuple):
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


class Terms:
    """What a response's field lines say about keeping it, whatever its status, whoever asked and at what time."""

    __slots__ = (
        *("_forbidden", "_values", "_vary", "_vary_rules"),
        *("forbids_stale", "if_error", "is_public", "lifetime", "pairs", "revalidate"),
    )

    def __init__(self, pairs: Pairs) -> None:
        """Read the fields, (name in lower case, value) each."""
        self.pairs = pairs
        self._values: dict[bytes, tuple[bytes, ...]] = {}
        for name, value in pairs:
            self._values[name] = (*self._values.get(name, ()), value)
        control: CacheControl = parse_cache_control(self.values(b"cache-control"))
        self.is_public = b"public" in control
        #: What s-maxage or max-age says, in seconds.
        shared = control.seconds(b"s-maxage")
        self.lifetime = control.seconds(b"max-age") if shared is None else shared
        #: What RFC 5861 provides, in seconds.
        self.revalidate = control.seconds(b"stale-while-revalidate")
        self.if_error = control.seconds(b"stale-if-error")
        self.forbids_stale = any(directive in control for directive in _FORBID_STALE)
        self._forbidden = (
            self._prohibition(control, credential=False),
            self._prohibition(control, credential=True),
        )
        self._vary: tuple[bytes, ...] | None = None
        self._vary_rules: KeyRules | None = None

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Return the values of all field lines with this lower-case name, in order."""
        return self._values.get(name, ())

    def forbidden(self, *, credential: bool) -> Reason | None:
        """Name what forbids storing; `credential` says whether the key holds one."""
        return self._forbidden[credential]

    def vary(self, rules: KeyRules) -> tuple[bytes, ...] | None:
        """Return the fields that select among responses; None: it must not be stored."""
        if self._vary_rules is not rules:
            self._vary, self._vary_rules = vary_names(self.pairs, rules), rules
        return self._vary

    def _prohibition(self, control: CacheControl, *, credential: bool) -> Reason | None:
        names = self._values
        if b"content-range" in names:
            return Reason.STATUS
        if b"set-cookie" in names or b"set-cookie2" in names:
            return Reason.SET_COOKIE
        if control.is_malformed or b"no-store" in control or b"no-cache" in control:
            return Reason.NO_STORE
        pragma = b",".join(self.values(b"pragma")).lower()
        # Not specified for responses (RFC 9111 section 5.4), but never sent by who wants to be cached.
        if b"no-cache" in pragma and b"cache-control" not in names:
            return Reason.NO_STORE
        if b"private" in control and not credential:
            return Reason.PRIVATE
        content_type = b",".join(self.values(b"content-type")).strip().lower()
        return Reason.STREAM if content_type.startswith(_STREAM_TYPES) or b"trailer" in names else None


def terms_of(block: bytes) -> Terms:
    """Return the terms of a response with these field lines."""
    return _remembered_terms(block) if len(block) <= _LONGEST_REMEMBERED else Terms(pairs_of(block))


@lru_cache(maxsize=128)
def _remembered_terms(block: bytes) -> Terms:
    """Read field lines; remembered, since an app's responses of one second are often alike (10 µs less for a miss)."""
    return Terms(pairs_of(block))


def judge(
    status: int,
    terms: Terms,
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
    reason = _prohibition(status, terms, identity, settings, length)
    if reason is not None:
        return _refusal(reason, status)
    vary = terms.vary(rules)
    if vary is None:
        return _refusal(Reason.VARY, status)
    age = initial_age(terms, now, delay)
    explicit = explicit_lifetime(terms, now)
    if explicit is None and status not in HEURISTIC_STATUSES and not terms.is_public:
        return _refusal(Reason.STATUS, status)
    lifetime = settings.ttl if explicit is None else max(0.0, min(settings.ttl, explicit - age))
    revalidate_for, error_for = stale_allowance(terms, settings)
    stale_wanted = terms.revalidate is not None or terms.if_error is not None
    if lifetime <= 0 and not (stale_wanted and (revalidate_for > 0 or error_for > 0)):
        return _refusal(Reason.EXPIRED, status)
    return Verdict(None, lifetime, age, revalidate_for, error_for, vary)


def _refusal(reason: Reason, status: int) -> Verdict:
    return Verdict(reason=reason, pass_for=PASS_SECONDS_AFTER_ERROR if status >= 500 else PASS_SECONDS)


def _prohibition(
    status: int, terms: Terms, identity: Identity, settings: Cache, length: int
) -> Reason | None:
    """Name what forbids storing, whatever the freshness."""
    if status < 200 or status in (206, 304) or status >= 500:
        return Reason.STATUS
    reason = terms.forbidden(credential=identity.credential)
    if reason is None and length > settings.object_size:
        return Reason.TOO_LARGE
    return reason


def explicit_lifetime(terms: Terms, now: float) -> int | None:
    """Return the freshness lifetime that the response names, in seconds; None: it names none.

    X-Accel-Expires, which apps behind nginx use to speak to the proxy alone, comes before s-maxage, max-age and
    Expires (RFC 9111 section 4.2.1). What cannot be read counts as no lifetime at all.
    """
    accelerated = terms.values(b"x-accel-expires")
    if accelerated:
        value = accelerated[0]
        return max(0, parse_delta(value[1:]) - int(now)) if value.startswith(b"@") else parse_delta(value)
    if terms.lifetime is not None:
        return terms.lifetime
    expires = terms.values(b"expires")
    if not expires:
        return None
    moment = parse_http_date(expires[0], now) if len(set(expires)) == 1 else None
    if moment is None:
        return 0
    generated = _date_of(terms, now)
    return min(max(0, moment - (int(now) if generated is None else generated)), LARGEST_DELTA)


def initial_age(terms: Terms, now: float, delay: float) -> int:
    """Return a response's age at its arrival, in seconds (corrected_initial_age, RFC 9111 section 4.2.3)."""
    ages = terms.values(b"age")
    told = parse_delta(ages[0].partition(b",")[0].strip(b" \t")) if ages else 0
    generated = _date_of(terms, now)
    apparent = 0 if generated is None else max(0, int(now) - generated)
    return min(max(apparent, told + int(delay)), LARGEST_DELTA)


def _date_of(terms: Terms, now: float) -> int | None:
    dates = terms.values(b"date")
    return parse_http_date(dates[0], now) if len(dates) == 1 else None


def stale_allowance(terms: Terms, settings: Cache) -> tuple[float, float]:
    """Return for how long a stale answer may be served while it is fetched anew, and while that fails.

    RFC 5861 for the directives, `grace` without them; section 4.2.4 of RFC 9111 for what forbids both.
    """
    if terms.forbids_stale:
        return 0.0, 0.0
    error_for = settings.grace if terms.if_error is None else float(terms.if_error)
    return float(min(terms.revalidate or 0, _LONGEST_STALE)), min(error_for, float(_LONGEST_STALE))
