"""What tests of the cache ask for and get: requests, responses, and a clock that moves by hand."""

from typing import Final

from proxy.caching.identity import Identity, identify
from proxy.caching.key import KeyRules, compile_rules, key_base
from proxy.caching.policy import Terms, Verdict, judge
from proxy.caching.record import SECOND, Stamp
from proxy.caching.store import Fetched, Store
from proxy.config.schema import Cache

SECRET: Final = bytes(range(32))
SITE: Final = b"app.example.com"
BASE: Final = key_base(b"https", b"app.example.com", 443)
RULES: Final[KeyRules] = compile_rules(Cache(), SECRET)
#: The shared clock's first moment, nanoseconds; less than some ages, as after a machine's start.
START: Final = 100 * SECOND
WALL: Final = 1_795_000_000.0


def identity_of(*pairs: tuple[bytes, bytes], rules: KeyRules = RULES) -> Identity:
    """Identify a request with these fields."""
    return identify(pairs, rules)


ANYBODY: Final = identity_of()


def stamp_of(
    store: Store, identity: Identity = ANYBODY, target: bytes = b"/", path: bytes | None = None
) -> Stamp:
    """Begin a fetch."""
    return store.invalidations.begin(SITE, target if path is None else path, target, identity)


def verdict_of(
    *fields: tuple[bytes, bytes], identity: Identity = ANYBODY, settings: Cache | None = None
) -> Verdict:
    """Judge a 200 with these fields."""
    return judge(
        200, Terms(fields), identity=identity, rules=RULES, settings=settings or Cache(), now=WALL, length=1
    )


def fetched(
    store: Store,
    body: bytes,
    *fields: tuple[bytes, bytes],
    identity: Identity = ANYBODY,
    target: bytes = b"/",
    arrived: int = START,
    stamp: Stamp | None = None,
    status: int = 200,
) -> Fetched:
    """Make a response that arrived whole."""
    return Fetched(
        status=status,
        reason=b"",
        block=b"".join(b"%s: %s\r\n" % field for field in fields),
        body=body,
        arrived=arrived,
        verdict=verdict_of(*fields, identity=identity),
        stamp=stamp or stamp_of(store, identity, target),
    )


def fill(
    store: Store,
    body: bytes,
    *fields: tuple[bytes, bytes],
    identity: Identity = ANYBODY,
    target: bytes = b"/",
    now: int = START,
) -> None:
    """Fetch and store a response, as a request that misses does."""
    found = store.get(BASE, target, identity, now)
    response = fetched(store, body, *fields, identity=identity, target=target, arrived=now)
    store.put(found.key, identity, response, now)


def body_of(
    store: Store, identity: Identity = ANYBODY, target: bytes = b"/", now: int = START
) -> bytes | None:
    """Return what is found for a request, fresh or stale."""
    stored = store.get(BASE, target, identity, now).stored
    return None if stored is None else stored.body
