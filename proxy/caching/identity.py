"""What a request's field section means to the cache, the fields' half of the key (see key.py), and who it speaks for.

Theory of operation. `identify` reads a whole section. Most sections differ from others in their Cookie alone; what
those have in common is a CommonIdentity, which makes a section's Identity from the Cookie's value: the same one that
`identify` would, in a fifth of the time. What a hit does not need (the digests of single credentials, by which
writes void what is kept) is worked out when it is asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from typing import Final

from proxy.caching.key import (
    KeyRules,
    Pairs,
    begun_digest,
    digest_of,
    digest_of_frames,
    frames_of,
    kept_cookies,
)
from proxy.caching.neutral import (
    CLIENT_ADDRESS,
    CONDITIONALS,
    REPLACED,
    is_credential,
    is_harmless,
    is_neutral,
    is_suspicious,
)
from proxy.caching.outcomes import Reason
from proxy.semantics.fields import HOP_BY_HOP, list_members

#: More cookies and credentials than a browser sends: not cached, and only so many are invalidated by a write.
MAX_CREDENTIALS: Final = 128

#: Options of Connection that take away nothing which the cache looks at.
_HARMLESS_OPTIONS: Final = HOP_BY_HOP | {b"close", b"keep-alive", b"upgrade", b"trailer"}
#: What a trusted peer passes on: to some apps such a GET is a write.
_METHOD_OVERRIDES: Final = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})
_OWN_PRECONDITIONS: Final = frozenset({b"if-match", b"if-unmodified-since"})
_VARIANTS_KEPT: Final = 8
_COOKIE_FRAME: Final = frames_of(b"cookie")


class Identity:
    """What a request's field section means to the cache; holds nothing of one request line or one client.

    `digest` is its part of the key, `credential` whether something in it may name a user, `bypass` why it must not
    use the cache, `is_plain` whether a stored 200 can be sent as it is.
    """

    __slots__ = (
        "_elements",
        "_keyed",
        "bypass",
        "credential",
        "digest",
        "is_plain",
        "pairs",
        "secret",
        "variants",
    )

    def __init__(
        self,
        digest: bytes,
        keyed: Sequence[tuple[bytes, bytes]],
        pairs: Pairs,
        secret: bytes,
        variants: dict[tuple[bytes, ...], bytes],
        *,
        credential: bool,
        bypass: Reason | None,
        is_plain: bool,
    ) -> None:
        """Take note of a section's `pairs`, and of those that its `digest` was made from, `keyed`.

        `variants` are those of all sections with the same fields but for Cookie, which never selects a variant: it is
        part of every key.
        """
        self.digest = digest
        self.credential = credential
        self.bypass = bypass
        self.is_plain = is_plain
        self.pairs = pairs
        self.secret = secret
        self._keyed = keyed
        self.variants = variants
        self._elements: tuple[int, ...] | None = None

    @property
    def elements(self) -> tuple[int, ...]:
        """Return 64-bit digests of everything in the section that may name a user (for own writes)."""
        if self._elements is None:
            credentials = dict.fromkeys(islice(_credentials_in(self._keyed), MAX_CREDENTIALS))
            self._elements = tuple([element_of(self.secret, name, value) for name, value in credentials])
        return self._elements

    def variant(
        self, names: tuple[bytes, ...], compute: Callable[[Pairs, tuple[bytes, ...]], bytes]
    ) -> bytes:
        """Return the digest of the fields that Vary names, computed once for each set of names."""
        found = self.variants.get(names)
        if found is None:
            found = digest_of(self.secret, b"variant", compute(self.pairs, names))
            if b"cookie" in names:
                return found
            if len(self.variants) >= _VARIANTS_KEPT:
                self.variants.clear()
            self.variants[names] = found
        return found


def identify(pairs: Pairs, rules: KeyRules, *, trusted: bool = False) -> Identity:
    """Work out what a request's field section means to the cache.

    `trusted` tells whether the peer may say X-Forwarded-* and the like; remember the result under rules,
    trust and field section together.
    """
    keyed = sorted(_keyed(pairs, rules), key=itemgetter(0))
    credentials = list(_credentials_in(keyed))
    credential = any(is_credential(name) for name, _ in credentials)
    names = {name for name, _ in pairs}
    return Identity(
        digest_of(rules.secret, b"trusted" if trusted else b"", *(part for line in keyed for part in line)),
        keyed,
        pairs,
        rules.secret,
        {},
        credential=credential,
        bypass=_override(names, trusted=trusted)
        or _too_personal(rules, len(credentials), credential=credential)
        or _precondition(names),
        is_plain=names.isdisjoint(CONDITIONALS),
    )


class CommonIdentity:
    """What field sections mean to the cache that differ in the value of their only Cookie line."""

    __slots__ = (
        "_after",
        "_before",
        "_count",
        "_credential",
        "_frames_after",
        "_frames_before",
        "_is_plain",
        "_override",
        "_pairs_after",
        "_pairs_before",
        "_precondition",
        "_rules",
        "_variants",
    )

    def __init__(self, pairs: Pairs, cookie_at: int, rules: KeyRules, *, trusted: bool = False) -> None:
        """Read the pairs of any of these sections; the Cookie's is number `cookie_at`."""
        self._rules = rules
        self._pairs_before = tuple(pairs[:cookie_at])
        self._pairs_after = tuple(pairs[cookie_at + 1 :])
        others = (*self._pairs_before, *self._pairs_after)
        keyed = sorted(_keyed(others, rules), key=itemgetter(0))
        self._before = tuple(line for line in keyed if line[0] < b"cookie")
        self._after = tuple(line for line in keyed if line[0] > b"cookie")
        self._frames_before = frames_of(
            b"trusted" if trusted else b"", *(part for line in self._before for part in line)
        )
        self._frames_after = frames_of(*(part for line in self._after for part in line))
        credentials = list(_credentials_in(keyed))
        self._count = len(credentials)
        self._credential = any(is_credential(name) for name, _ in credentials)
        names = {name for name, _ in others}
        self._override = _override(names, trusted=trusted)
        self._precondition = _precondition(names)
        self._is_plain = names.isdisjoint(CONDITIONALS)
        self._variants: dict[tuple[bytes, ...], bytes] = {}

    def with_cookie(self, value: bytes) -> Identity:
        """Return what `identify` returns of the section with this value."""
        rules = self._rules
        kept = kept_cookies(value, rules)
        cookie = _COOKIE_FRAME + frames_of(kept) if kept else b""
        count = self._count + kept.count(b";") + 1
        if count > MAX_CREDENTIALS:
            count = self._count + sum(1 for part in kept.split(b";") if part.strip(b" \t"))
        credential = self._credential or bool(kept.strip(b"; \t"))
        return Identity(
            digest_of_frames(rules.secret, self._frames_before + cookie + self._frames_after),
            (*self._before, (b"cookie", kept), *self._after),
            (*self._pairs_before, (b"cookie", value), *self._pairs_after),
            rules.secret,
            self._variants,
            credential=credential,
            bypass=self._override or _too_personal(rules, count, credential=credential) or self._precondition,
            is_plain=self._is_plain,
        )


def _override(names: set[bytes], *, trusted: bool) -> Reason | None:
    return Reason.METHOD if trusted and not names.isdisjoint(_METHOD_OVERRIDES) else None


def _too_personal(rules: KeyRules, count: int, *, credential: bool) -> Reason | None:
    is_refused = count > MAX_CREDENTIALS or (credential and rules.bypass_credentials)
    return Reason.CREDENTIALS if is_refused else None


def _precondition(names: set[bytes]) -> Reason | None:
    # The condition is the origin server's to evaluate (RFC 9110 section 13.1.1), and a fill would drop it.
    return None if names.isdisjoint(_OWN_PRECONDITIONS) else Reason.PRECONDITION


def _keyed(pairs: Pairs, rules: KeyRules) -> Iterable[tuple[bytes, bytes]]:
    """Yield what goes into the key, in order; the attack it prevents is named at each exception."""
    for name, value in pairs:
        if is_harmless(name, value):
            continue
        if name == b"connection":
            # "Connection: origin" hides a field from the upstream; it must not fill the key of those who send it.
            for option in list_members(value):
                if option not in _HARMLESS_OPTIONS:
                    yield name, option
        elif name == b"cookie":
            kept = kept_cookies(value, rules)
            if kept:
                yield name, kept
        elif name in REPLACED:
            continue
        elif name in CLIENT_ADDRESS:
            # Forwarded is always replaced; the others reach the upstream from a trusted peer.
            if rules.key_client_address or (name != b"forwarded" and is_suspicious(name, value)):
                yield name, value
        elif not (name in rules.neutral or is_neutral(name)) or is_suspicious(name, value):
            yield name, value


def _credentials_in(keyed: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    """Yield each cookie and each further field that may tell users apart, whatever its name.

    A browser sends a cookie with some paths and not with others, so a write invalidates by single cookies.
    """
    for name, value in keyed:
        if name == b"cookie":
            for cookie in value.split(b";"):
                if stripped := cookie.strip(b" \t"):
                    yield name, stripped
        elif name not in _TELLS_NO_USER and not is_neutral(name):
            yield name, value


#: Keyed, but sent with the same value by many: a write by one of them must not invalidate what others have.
_TELLS_NO_USER: Final = CLIENT_ADDRESS | {
    *(
        b"cdn-loop",
        b"cf-ipcountry",
        b"cf-visitor",
        b"connection",
        b"content-type",
        b"expect",
        b"origin",
        b"via",
    ),
    *(b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-requested-with", b"cf-ew-via"),
    *(b"access-control-request-headers", b"access-control-request-method", b"content-encoding"),
}


def element_of(secret: bytes, name: bytes, value: bytes) -> int:
    """Return the 64-bit digest under which what is kept for one credential can be invalidated."""
    if name == b"cookie":
        state = _begun_with_cookie(secret).copy()
        state.update(frames_of(value))
        return int.from_bytes(state.digest()[:8], "little")
    return int.from_bytes(digest_of(secret, b"element", name, value)[:8], "little")


@lru_cache(maxsize=8)
def _begun_with_cookie(secret: bytes) -> blake2b:
    """Return what is the same in the digests of all cookies; sections hold a dozen, and this halves what one takes."""
    return begun_digest(secret, b"element", b"cookie")
