"""What a gateway adds to, takes from and says about a message that it forwards (RFC 9110 section 7.6, RFC 7239)."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.semantics.fields import HOP_BY_HOP, NEVER_NOMINATED, FieldLine

#: Written by us on every forwarded request; what came under these names is replaced.
_OURS: Final = frozenset({b"x-real-ip", b"x-request-id", b"forwarded", b"via"})
#: A client could pose as another, or have its request read as another one, with these.
_DROPPED: Final = frozenset(
    {
        *(b"true-client-ip", b"client-ip", b"x-client-ip", b"x-cluster-client-ip", b"fastly-client-ip"),
        *(b"proxy-client-ip", b"wl-proxy-client-ip", b"wl-proxy-ssl", b"x-forwarded", b"forwarded-for"),
        *(b"x-scheme", b"x-url-scheme", b"front-end-https"),
        # Gunicorn takes SCRIPT_NAME off the path: what our rules were compared with is not what its app serves.
        *(b"script-name", b"path-info"),
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"proxy",
    }
)
_DROPPED_FAMILIES: Final = (b"x-forwarded-", b"cf-", b"x-original-", b"x-rewrite-")
#: Framing is always written anew, expectation and host are handled by name.
_WRITTEN_ANEW: Final = frozenset({b"content-length", b"host", b"transfer-encoding"})
#: What a trusted peer in front of us may say about the client's side of its connection.
_KEPT_FROM_TRUSTED: Final = frozenset(
    {b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-request-id"}
)


def claims_identity(lower: bytes) -> bool:
    """Say whether a request field speaks for the client in a way that only a trusted peer may."""
    return lower in _OURS or lower in _DROPPED or lower.startswith(_DROPPED_FAMILIES)


def _is_kept_by_name(lower: bytes, trusted: bool) -> bool:
    if b"_" in lower and not _is_kept_by_name(lower.replace(b"_", b"-"), trusted=False):
        return False
    if lower in HOP_BY_HOP or lower in _WRITTEN_ANEW:
        return False
    if trusted:
        return lower not in (
            b"x-forwarded-for",
            b"x-real-ip",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
        ) and (lower not in _OURS)
    return not claims_identity(lower)


def _is_nominated(lower: bytes, nominated: frozenset[bytes]) -> bool:
    names = (lower, lower.replace(b"_", b"-"))
    return any(name in nominated and name not in NEVER_NOMINATED for name in names)


#: Longer names are looked at each time, so that what is remembered stays small.
_LONGEST_KNOWN: Final = 64
_known_kept = lru_cache(maxsize=1024)(_is_kept_by_name)


class PreparedRequest(NamedTuple):
    """All of an upstream request head that depends neither on the client's address nor on the request line.

    ``block`` and ``forwarded_tail`` are whole field lines but for the beginning of the last one: the head is
    request line, Host, block, the client's lines (see client_lines), forwarded_tail, request id, empty line.
    """

    host_line: bytes
    block: bytes
    forwarded_tail: bytes
    chain: bytes


class RequestEdits(NamedTuple):
    """What a route changes in the fields of messages.

    ``replaced`` are names in lower case with "-" for "_", which many applications do not tell apart.
    """

    replaced: frozenset[bytes]
    added: bytes


def request_edits(pairs: Iterable[tuple[str, str]]) -> RequestEdits:
    """Compile ``set_request_headers`` or ``set_response_headers``: (name, value), an empty value removes."""
    encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in pairs]
    return RequestEdits(
        frozenset(name.lower().replace(b"_", b"-") for name, _ in encoded),
        b"".join(b"%s: %s\r\n" % (name, value) for name, value in encoded if value),
    )


def came_through(lines: Iterable[FieldLine], pseudonym: bytes) -> bool:
    """Say whether a request has come through the gateway that names itself so in Via (RFC 9110 section 7.6.3)."""
    return any(
        member.strip().endswith(b" " + pseudonym)
        for lower, _, value in lines
        if lower == b"via"
        for member in value.split(b",")
    )


def kept_lines(
    lines: Iterable[FieldLine], nominated: frozenset[bytes], edits: RequestEdits, *, trusted: bool
) -> bytes:
    """Return those of a request's field lines that are sent on, in order; what each becomes depends on it alone."""
    # A list, not a generator, and a remembered answer for each name: this runs for every field of every new section.
    return b"".join(
        [
            b"%s: %s\r\n" % (name, value)
            for lower, name, value in lines
            if (_known_kept if len(lower) <= _LONGEST_KNOWN else _is_kept_by_name)(lower, trusted)
            and not (nominated and _is_nominated(lower, nominated))
            and lower.replace(b"_", b"-") not in edits.replaced
        ]
    )


def prepare_request(
    lines: Iterable[FieldLine],
    nominated: frozenset[bytes],
    edits: RequestEdits,
    *,
    host: bytes,
    scheme: bytes,
    port: int,
    trusted: bool,
    pseudonym: bytes,
) -> PreparedRequest:
    """Build the part of an upstream request head that can be kept and used again.

    ``host`` is the Host as the client sent it (empty: none, HTTP/1.0); ``pseudonym`` names this instance in
    Via. Hop-by-hop fields go before ours are added, so a client's Connection cannot take ours away (RFC 9110
    section 7.6.1).
    """
    lines = list(lines)
    told = {lower: value for lower, _, value in lines if lower in _KEPT_FROM_TRUSTED} if trusted else {}
    kept = kept_lines(lines, nominated, edits, trusted=trusted)
    via = [value for lower, _, value in lines if lower == b"via"]
    ours = {
        b"x-forwarded-proto": told.get(b"x-forwarded-proto", scheme),
        b"x-forwarded-host": told.get(b"x-forwarded-host", host),
        b"x-forwarded-port": told.get(b"x-forwarded-port", b"%d" % port),
        b"via": b", ".join([*via, b"1.1 " + pseudonym]),
    }
    block = kept + edits.added + _lines_of(ours, edits.replaced)
    proto = ours[b"x-forwarded-proto"]
    quoted_host = b';host="%s"' % host if host else b""
    return PreparedRequest(
        host_line=b"Host: %s\r\n" % host if host else b"",
        block=block,
        forwarded_tail=quoted_host + b";proto=" + (proto if proto.isalpha() else scheme) + b"\r\n",
        chain=b", ".join(value for lower, _, value in lines if trusted and lower == b"x-forwarded-for"),
    )


_NAMES: Final = {
    b"x-forwarded-proto": b"X-Forwarded-Proto",
    b"x-forwarded-host": b"X-Forwarded-Host",
    b"x-forwarded-port": b"X-Forwarded-Port",
    b"via": b"Via",
}


def _lines_of(values: Mapping[bytes, bytes], replaced: frozenset[bytes]) -> bytes:
    return b"".join(b"%s: %s\r\n" % (_NAMES[k], v) for k, v in values.items() if v and k not in replaced)


def client_lines(client: bytes, peer: bytes, chain: bytes) -> bytes:
    """Build the lines that name the client; ends in the middle of Forwarded, which ``forwarded_tail``
    completes.

    ``client`` is the address that counts, ``peer`` the one that sent the request, ``chain`` what a trusted
    peer told.
    """
    forwarded_for = chain + b", " + peer if chain else client
    node = b'"[%s]"' % client if b":" in client else client
    return b"X-Forwarded-For: %s\r\nX-Real-IP: %s\r\nForwarded: for=%s" % (forwarded_for, client, node)


def response_block(
    lines: Iterable[FieldLine],
    nominated: frozenset[bytes],
    edits: RequestEdits,
    *,
    keep_upgrade: bool = False,
) -> bytes:
    """Build the field lines of a forwarded response, without framing and connection fields.

    ``keep_upgrade`` keeps Upgrade in a 426, where it is the message (RFC 9110 section 15.5.22).
    """
    kept: list[bytes] = []
    for lower, name, value in lines:
        is_upgrade = keep_upgrade and lower == b"upgrade"
        if lower in HOP_BY_HOP and lower != b"proxy-authenticate" and not is_upgrade:
            continue
        if lower in _WRITTEN_ANEW:
            continue
        if lower in nominated and lower not in NEVER_NOMINATED and not is_upgrade:
            continue
        if lower.replace(b"_", b"-") in edits.replaced or lower == b"x-cache-status":
            continue
        kept.append(b"%s: %s\r\n" % (name, value))
    return b"".join(kept) + edits.added
