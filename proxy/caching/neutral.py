"""The published lists: which request fields are not part of the cache key, and which speak for a user.

Theory of operation. Every request field is part of the key unless it is listed here, so that a field which
nobody has thought of can neither poison a shared answer nor show one user's page to another. A neutral field
still reaches the upstream: an answer that depends on it has to say so in Vary. Three things make that safe
enough for fields that nearly every client sends with values of its own:

- a neutral field whose value holds characters that serve to break out of markup, a template or a log joins
  the key all the same (`is_suspicious`): reflected, it harms nobody but its sender;
- only families that browsers reserve are neutral by their prefix. `Sec-*` as a whole is not: newer members
  (`Sec-Private-State-Token`, `Sec-Session-Response`) carry an identity;
- fields that Foregate replaces itself do not reach the upstream as the client sent them.
"""

import re
from functools import lru_cache
from typing import Final

from proxy.semantics.fields import HOP_BY_HOP

#: Negotiation and client hints, which Vary governs (RFC 9110 section 12.5.5).
_NEGOTIATION: Final = frozenset(
    {
        *(b"accept", b"accept-charset", b"accept-datetime", b"accept-encoding", b"accept-language"),
        *(b"device-memory", b"downlink", b"dpr", b"ect", b"rtt", b"save-data", b"viewport-width", b"width"),
        *(b"dnt", b"priority", b"purpose", b"referer", b"upgrade-insecure-requests", b"user-agent", b"x-moz"),
        *(b"sec-gpc", b"sec-purpose", b"x-purpose"),
    }
)
_NEUTRAL_FAMILIES: Final = (b"sec-ch-", b"sec-fetch-")

#: A client's wishes about caches; advisory, see docs/cache.md.
_CACHE_WISHES: Final = frozenset({b"cache-control", b"pragma"})

#: Answered from what is stored; not sent on a request that fills the cache.
CONDITIONALS: Final = frozenset({b"if-modified-since", b"if-none-match", b"if-range", b"range"})

#: Different for every request, for logs alone. `baggage` is not here: it carries values that apps act on.
_TRACING: Final = frozenset(
    {
        *(
            b"traceparent",
            b"tracestate",
            b"x-request-id",
            b"request-id",
            b"x-correlation-id",
            b"correlation-id",
        ),
        *(b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"),
        *(b"x-amzn-trace-id", b"x-cloud-trace-context", b"uber-trace-id", b"sentry-trace", b"newrelic"),
        *(b"x-datadog-trace-id", b"x-datadog-parent-id", b"x-datadog-sampling-priority", b"x-datadog-origin"),
        *(
            b"elastic-apm-traceparent",
            b"x-ot-span-context",
            b"x-client-trace-id",
            b"cf-ray",
            b"cf-request-id",
        ),
    }
)

#: The client's address, which `key_client_address` governs. What an untrusted client sends here is replaced.
CLIENT_ADDRESS: Final = frozenset(
    {
        *(b"x-forwarded-for", b"x-real-ip", b"forwarded", b"true-client-ip", b"x-client-ip"),
        *(b"x-cluster-client-ip", b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-pseudo-ipv4"),
    }
)

#: Written anew on the way to the upstream, so the client's own cannot matter; Host is in the key by itself.
REPLACED: Final = (HOP_BY_HOP - {b"proxy-authorization"}) | {b"host", b"content-length"}

PUBLISHED_NEUTRAL: Final = _NEGOTIATION | _CACHE_WISHES | CONDITIONALS | _TRACING

_CREDENTIAL_NAMES: Final = frozenset(
    {
        *(b"authorization", b"proxy-authorization", b"cookie", b"cookie2", b"api-key", b"apikey", b"dpop"),
        *(b"from", b"remote-user", b"x-remote-user", b"x-forwarded-client-cert", b"x-goog-iap-jwt-assertion"),
        *(b"sec-private-state-token", b"sec-session-response", b"sec-redemption-record"),
    }
)
_CREDENTIAL_WORDS: Final = frozenset(
    {
        *(b"account", b"apikey", b"assertion", b"auth", b"authentication", b"authorization", b"credential"),
        *(b"credentials", b"identity", b"jwt", b"key", b"login", b"passphrase", b"password", b"principal"),
        *(b"secret", b"session", b"sessionid", b"sid", b"signature", b"ticket", b"token", b"uid", b"user"),
        *(b"userid", b"username"),
    }
)
_SEPARATORS: Final = re.compile(rb"[-_.]")
_MARKUP: Final = re.compile(rb"[<>`{}\"'\x00-\x08\x0a-\x1f\x7f]|\$\(")
#: Client hints are quoted strings by their grammar; the rest serves them as little.
_MARKUP_IN_HINT: Final = re.compile(rb"[<>`{}\x00-\x08\x0a-\x1f\x7f]|\$\(")
_ADDRESSES: Final = re.compile(rb"[0-9A-Fa-f.:, \t]*")
#: Longer lines are looked at each time, so that what is remembered stays small.
_LONGEST_REMEMBERED: Final = 256
_WEB_ORIGINS: Final = (b"http://", b"https://")


def is_neutral(name: bytes) -> bool:
    """Say whether a field is on the published list, apart from what the configuration adds."""
    return name in PUBLISHED_NEUTRAL or name.startswith(_NEUTRAL_FAMILIES)


def is_credential(name: bytes) -> bool:
    """Say whether a field may carry an identity, judged by its name alone; neutral fields never do."""
    if name in _CREDENTIAL_NAMES:
        return True
    if is_neutral(name) or name in REPLACED or name in CLIENT_ADDRESS:
        return False
    return not _CREDENTIAL_WORDS.isdisjoint(_SEPARATORS.split(name))


def is_suspicious(name: bytes, value: bytes) -> bool:
    """Say whether a neutral field's value could do harm when an answer for everybody reflects it.

    Conditionals do not reach the upstream on a fill. A proxy that is trusted may pass on whatever its clients say in
    the fields that name an address, so anything but addresses counts.
    """
    if name in CONDITIONALS:
        return False
    if name in CLIENT_ADDRESS:
        return _ADDRESSES.fullmatch(value) is None
    if name.startswith(b"sec-ch-"):
        return _MARKUP_IN_HINT.search(value) is not None
    if name == b"referer" and not value.lower().startswith(_WEB_ORIGINS):
        return bool(value)
    return _MARKUP.search(value) is not None


def is_harmless(name: bytes, value: bytes) -> bool:
    """Say whether a field line is on the published list and not suspicious, as most lines of browsers are."""
    is_short = len(name) + len(value) <= _LONGEST_REMEMBERED
    return _remembered(name, value) if is_short else _is_harmless(name, value)


def _is_harmless(name: bytes, value: bytes) -> bool:
    return is_neutral(name) and not is_suspicious(name, value)


# Clients that know nothing of each other send the same few lines: this takes a third off the time that a section costs.
_remembered = lru_cache(maxsize=4096)(_is_harmless)
