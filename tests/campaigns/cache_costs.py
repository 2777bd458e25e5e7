"""Measure what the cache's steps cost: `python -m tests.campaigns.cache_costs`, in microseconds, best of seven."""

import timeit
from collections.abc import Callable
from typing import Final

from proxy.caching.front import Front
from proxy.caching.identity import Identity, identify
from proxy.caching.key import cache_key
from proxy.caching.store import Fetched, Store
from tests.fakes.cache import BASE, RULES, SECRET, SITE, START, fetched, stamp_of, verdict_of

BROWSER: Final = (
    (b"host", b"app.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    (b"accept", b"text/html,application/xhtml+xml"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"connection", b"keep-alive"),
    (b"cookie", b"session=abcdef0123456789; _ga=GA1.2.3"),
)
BODY: Final = b"x" * 853
TARGET: Final = b"/a/b?c"
VARY: Final = (b"vary", b"accept-encoding")
TYPE: Final = (b"content-type", b"text/html")


def microseconds(step: Callable[[], object], number: int = 5000) -> float:
    """Return the cost of one call."""
    return min(timeit.repeat(step, number=number, repeat=7)) / number * 1e6


def steps(store: Store, identity: Identity, *fields: tuple[bytes, bytes]) -> dict[str, Callable[[], object]]:
    """Fill a cache with one response and return what a request may do with it."""
    front = Front(store)
    key = cache_key(BASE, TARGET, identity)
    response: Fetched = fetched(store, BODY, *fields, identity=identity, target=TARGET)
    store.put(key, identity, response, START)
    entry = front.find(BASE, TARGET, identity, START)[1]
    assert entry is not None
    prefix = TARGET[:-1]

    def hit() -> bytes:
        found = front.lookup(BASE, prefix + b"c", identity, START)
        assert found is not None
        return b"".join((found.prefix, found.moment_lines(START), b"\r\n", found.body))

    def hit_after_a_write() -> None:
        store.invalidations.generation[0] ^= 1
        front.lookup(BASE, TARGET, identity, START)

    return {
        "hit in the map": lambda: front.lookup(BASE, prefix + b"c", identity, START),
        "hit in the map, with its answer": hit,
        "hit in the map, after somebody's write": hit_after_a_write,
        "hit in the shared memory": lambda: front.find(BASE, TARGET, identity, START),
        "miss": lambda: front.find(BASE, b"/other", identity, START),
        "begin a fetch": lambda: stamp_of(store, identity, TARGET),
        "judge": lambda: verdict_of(*fields, identity=identity),
        "store": lambda: store.put(key, identity, response, START),
    }


def main() -> None:
    """Print the costs."""
    identity = identify(BROWSER, RULES)
    store = Store.create(64 << 20, SECRET)
    print(f"{microseconds(lambda: identify(BROWSER, RULES)):6.2f}  identify (once for a field section)")
    for label, fields in (("", (TYPE,)), (", with Vary", (TYPE, VARY))):
        for name, step in steps(store, identity, *fields).items():
            print(f"{microseconds(step):6.2f}  {name}{label}")
    key = bytes(32)

    def claim() -> None:
        store.claims.claim(key, 1, now=START, deadline=2 * START)
        store.claims.release(key, 1)

    print(f"{microseconds(claim):6.2f}  claim and release")
    print(f"{microseconds(lambda: store.marks.is_uncacheable(key, START)):6.2f}  look for a mark")
    print(f"{microseconds(lambda: store.invalidations.invalidate(SITE, [TARGET], identity)):6.2f}  own write")
    store.close()


if __name__ == "__main__":
    main()
