"""The cache key: everything that the upstream's answer may depend on, hashed with a secret (RFC 9111 section 2).

Theory of operation. The key has two halves. The first, `key_base`, is what configuration and connection fix: the
settings that an answer depends on (`key_space`), scheme, host, port and, where the site asks for it, the client's
address. The second, `identify`, is computed once for a
field section and remembered with it: a digest of every field outside the neutral list, of the cookies that
the upstream gets to see, of options in Connection that take fields away from the upstream, and of whether
the peer is trusted (a trusted peer's X-Forwarded-* reach the upstream, others' do not). With the raw target
between them they make the key; nothing is normalised that the upstream could tell apart.

Digests are keyed BLAKE2, so that nobody outside can make two requests share a key, choose the place of an
entry, or read a cookie out of the shared memory.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import Final

from proxy.caching.neutral import (
    CLIENT_ADDRESS,
    CONDITIONALS,
    PUBLISHED_NEUTRAL,
    REPLACED,
    is_credential,
    is_harmless,
    is_neutral,
    is_suspicious,
)
from proxy.caching.outcomes import Reason
from proxy.config.schema import Cache, Route
from proxy.semantics.fields import HOP_BY_HOP, SAFE_METHODS, list_members

#: Ordered (name in lower case, value) pairs, one for each field line.
Pairs = Sequence[tuple[bytes, bytes]]

KEY_SIZE: Final = 32
DIGEST_SIZE: Final = 16
#: More cookies and credentials than a browser sends: not cached, and only so many are invalidated by a write.
MAX_CREDENTIALS: Final = 128

#: Options of Connection that take away nothing which the cache looks at.
_HARMLESS_OPTIONS: Final = HOP_BY_HOP | {b"close", b"keep-alive", b"upgrade", b"trailer"}
#: What a trusted peer passes on: to some apps such a GET is a write.
_METHOD_OVERRIDES: Final = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})
_OWN_PRECONDITIONS: Final = frozenset({b"if-match", b"if-unmodified-since"})
_VARIANTS_KEPT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRules:
    """What a route's configuration says about the key; made by `compile_rules`."""

    secret: bytes
    bypass_credentials: bool
    neutral: frozenset[bytes]
    ignored_cookies: re.Pattern[bytes] | None
    key_client_address: bool


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """What a request's field section means to the cache; holds nothing of one request line or one client.

    `digest` is its part of the key, `credential` whether something in it may name a user, `elements` 64-bit
    digests of everything in it that may (for own writes), `bypass` why it must not use the cache,
    `is_plain` whether a stored 200 can be sent as it is.
    """

    digest: bytes
    credential: bool
    elements: tuple[int, ...]
    bypass: Reason | None
    is_plain: bool
    pairs: Pairs
    secret: bytes
    variants: dict[tuple[bytes, ...], bytes] = field(default_factory=dict, repr=False)

    def variant(
        self, names: tuple[bytes, ...], compute: Callable[[Pairs, tuple[bytes, ...]], bytes]
    ) -> bytes:
        """Return the digest of the fields that Vary names, computed once for each set of names."""
        found = self.variants.get(names)
        if found is None:
            if len(self.variants) >= _VARIANTS_KEPT:
                self.variants.clear()
            found = self.variants[names] = digest_of(self.secret, b"variant", compute(self.pairs, names))
        return found


def compile_rules(settings: Cache, secret: bytes) -> KeyRules:
    """Compile a route's [cache]; `secret` (16 to 64 random octets) is shared by all workers.

    A field that may carry an identity stays in the key even if `neutral_fields` names it.
    """
    added = (name.lower().encode("latin-1") for name in settings.neutral_fields)
    return KeyRules(
        secret=secret,
        bypass_credentials=settings.credentials == "bypass",
        neutral=PUBLISHED_NEUTRAL | {name for name in added if not is_credential(name)},
        ignored_cookies=_compile_globs(settings.ignore_cookies),
        key_client_address=settings.key_client_address,
    )


def rules_for_writes(secret: bytes) -> KeyRules:
    """Return the rules by which to `identify` an unsafe request: whatever its own route ignores, another may not."""
    return compile_rules(Cache(ignore_cookies=(), neutral_fields=()), secret)


def _compile_globs(globs: Iterable[str]) -> re.Pattern[bytes] | None:
    patterns = [re.escape(glob).replace(r"\*", ".*").encode("utf-8") for glob in globs]
    return re.compile(rb"(?:%s)" % b"|".join(patterns), re.DOTALL) if patterns else None


def kept_cookies(value: bytes, rules: KeyRules) -> bytes:
    """Return a Cookie field's value without the ignored cookies; b"" when nothing is left of it.

    A value without ignored cookies stays as it is, octet for octet (RFC 6265 section 4.2).
    """
    ignored = rules.ignored_cookies
    if ignored is None:
        return value
    cookies = [cookie.strip(b" \t") for cookie in value.split(b";")]
    kept = [
        cookie for cookie in cookies if ignored.fullmatch(cookie.partition(b"=")[0].rstrip(b" \t")) is None
    ]
    return value if len(kept) == len(cookies) else b"; ".join(kept)


def fill_value(name: bytes, value: bytes, rules: KeyRules) -> bytes | None:
    """Return what the upstream gets of a field when the answer fills the cache; None: not this field."""
    if name in CONDITIONALS:
        return None
    if name == b"cookie":
        return kept_cookies(value, rules) or None
    return value


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
        digest=digest_of(
            rules.secret, b"trusted" if trusted else b"", *(part for line in keyed for part in line)
        ),
        credential=credential,
        elements=tuple(
            element_of(rules.secret, name, value)
            for name, value in dict.fromkeys(credentials[:MAX_CREDENTIALS])
        ),
        bypass=Reason.METHOD
        if trusted and not names.isdisjoint(_METHOD_OVERRIDES)
        else _bypass_reason(names, rules, credential, len(credentials)),
        is_plain=names.isdisjoint(CONDITIONALS),
        pairs=pairs,
        secret=rules.secret,
    )


def _bypass_reason(names: set[bytes], rules: KeyRules, credential: bool, count: int) -> Reason | None:
    if count > MAX_CREDENTIALS or (credential and rules.bypass_credentials):
        return Reason.CREDENTIALS
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


def digest_of(secret: bytes, *parts: bytes) -> bytes:
    """Hash parts so that no other sequence of parts gives the same digest."""
    framed = b"".join([len(part).to_bytes(4, "little") + part for part in parts])
    return blake2b(framed, key=secret, digest_size=DIGEST_SIZE).digest()


def element_of(secret: bytes, name: bytes, value: bytes) -> int:
    """Return the 64-bit digest under which what is kept for one credential can be invalidated."""
    return int.from_bytes(digest_of(secret, b"element", name, value)[:8], "little")


def key_space(site: str, route: Route) -> bytes:
    """Digest which of the site's and the route's settings an answer, and how long it is kept, depend on.

    So no answer outlives a reload that would have made another one. The site's name is among them because own
    writes and purges go by it.
    """
    settings = (
        site,
        *(route.path, route.upstream, route.upstream_ca_file, route.upstream_server_name, route.host),
        *(route.strip_prefix, route.set_request_headers, route.set_response_headers, route.cache),
    )
    return blake2b(repr(settings).encode(), digest_size=DIGEST_SIZE).hexdigest().encode()


def key_base(scheme: bytes, host: bytes, port: int, client: bytes = b"", *, space: bytes = b"") -> bytes:
    """Return the part of the key that a connection fixes; `host` is the Host that the upstream sees.

    `client` is the client's address where `key_client_address` is set, else empty; `space` is the route's
    `key_space`. None of the parts can hold a space, which separates them.
    """
    return b"%s %s %s %d %s" % (space, scheme, host, port, client)


def cache_key(base: bytes, target: bytes, identity: Identity) -> bytes:
    """Return the key of a raw request target, KEY_SIZE octets."""
    framed = b"%d %b%b%b" % (len(base), base, identity.digest, target)
    return blake2b(framed, key=identity.secret, digest_size=KEY_SIZE).digest()


def admission(
    method: bytes, identity: Identity, settings: Cache, *, has_content: bool, is_upgrade: bool
) -> Reason | None:
    """Say why a request must not use the cache; None: it may. Only an answer to GET is ever stored."""
    if settings.ttl <= 0:
        return Reason.DISABLED
    if method not in (b"GET", b"HEAD"):
        return Reason.METHOD
    if is_upgrade:
        return Reason.UPGRADE
    if has_content:
        return Reason.CONTENT
    return identity.bypass


def is_unsafe(method: bytes) -> bool:
    """Say whether a request may change what is kept, so that it invalidates (RFC 9111 section 4.4)."""
    return method not in SAFE_METHODS
