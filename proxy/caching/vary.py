"""Which request fields select among a resource's stored responses (RFC 9110 section 12.5.5, RFC 9111 section 4.1)."""

import re
from typing import Final

from proxy.caching.conditional import field_values
from proxy.caching.key import KeyRules, Pairs
from proxy.caching.neutral import CLIENT_ADDRESS, CONDITIONALS, REPLACED, is_neutral

#: More names than this: the response is not stored. Seen in the wild: up to six.
MAX_NAMES: Final = 12
#: Variants of one key that are kept; a further one replaces the oldest.
MAX_VARIANTS: Final = 16
#: Different for every request, made or replaced here: a response that varies on it serves nobody else.
_EACH_REQUEST: Final = frozenset({b"x-request-id"})

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_AROUND_COMMA: Final = re.compile(rb"[ \t]*,[ \t]*")
_NO_WEIGHT: Final = re.compile(rb"0(?:\.0*)?")
_GZIP: Final = b"gzip"


def vary_names(response: Pairs, rules: KeyRules) -> tuple[bytes, ...] | None:
    """Return the fields, sorted, that select among responses beyond what the key holds; None: not to be stored.

    A response with a content coding varies on Accept-Encoding whether it says so or not: forgetting it is
    the commonest mistake of origins, and hands compressed octets to who cannot read them.
    """
    names: set[bytes] = set()
    for value in field_values(response, b"vary"):
        names.update(name for part in value.split(b",") if (name := part.strip(b" \t").lower()))
    if len(names) > MAX_NAMES or any(_TOKEN.fullmatch(name) is None for name in names) or b"*" in names:
        return None
    if not names.isdisjoint(_EACH_REQUEST):
        return None
    if not rules.key_client_address and not names.isdisjoint(CLIENT_ADDRESS):
        return None
    codings = b",".join(field_values(response, b"content-encoding")).lower()
    if codings.strip(b" \t,") not in (b"", b"identity"):
        names.add(b"accept-encoding")
    return tuple(sorted(name for name in names if _selects(name, rules)))


def _selects(name: bytes, rules: KeyRules) -> bool:
    """Say whether a field is sent to the upstream without being in the key already."""
    if name in CONDITIONALS or name in REPLACED or name in CLIENT_ADDRESS:
        return False
    return name in rules.neutral or is_neutral(name)


def selecting_values(request: Pairs, names: tuple[bytes, ...]) -> bytes:
    """Return the selecting fields in a normal form: equal octets mean that a stored variant matches.

    Lines of one name are joined and white space around commas goes (RFC 9111 section 4.1).
    """
    parts: list[bytes] = []
    for name in names:
        values = field_values(request, name)
        if name == b"accept-encoding":
            normal = normal_accept_encoding(values)
        else:
            normal = _AROUND_COMMA.sub(b",", b",".join(values).strip(b" \t"))
        present = b"+" if values else b"-"
        parts.append(b"%d:%s%s%d:%s" % (len(name), name, present, len(normal), normal))
    return b"".join(parts)


def normal_accept_encoding(values: list[bytes]) -> bytes:
    """Reduce Accept-Encoding to the set of codings that may be sent (RFC 9110 section 12.5.3).

    Order, weights, case and white space differ from browser to browser, the set hardly does. What is refused
    ("!") matters for identity, which is else always accepted, and beside "*".
    """
    accepted: set[bytes] = set()
    refused: set[bytes] = set()
    for member in b",".join(values).lower().split(b","):
        coding, _, parameters = member.partition(b";")
        name, weight = coding.strip(b" \t"), parameters.replace(b" ", b"").replace(b"\t", b"")
        is_refused = weight.startswith(b"q=") and _NO_WEIGHT.fullmatch(weight[2:]) is not None
        (refused if is_refused else accepted).add(_GZIP if name == b"x-gzip" else name)
    if b"*" not in accepted:
        refused &= {b"identity", b"*"}
    return b",".join(sorted((accepted - {b"", b"identity"}) | {b"!" + name for name in refused}))
