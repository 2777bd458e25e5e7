"""Field names with a meaning to a gateway, and the values they carry (RFC 9110 sections 5.6, 7.6)."""

from typing import Final

#: One field line: (name in lower case, name as it came, value without surrounding white space).
FieldLine = tuple[bytes, bytes, bytes]

#: Never forwarded, whether or not Connection names them (RFC 9110 section 7.6.1).
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)

#: A Connection option with one of these names is ignored: dropping the field would change what the message means.
NEVER_NOMINATED: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"cookie",
        b"cache-control",
        b"set-cookie",
    }
)

#: Must not arrive in a trailer section (RFC 9110 section 6.5.1): framing, routing, authentication, content
#: processing.
FORBIDDEN_TRAILERS: Final = HOP_BY_HOP | frozenset(
    {
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"forwarded",
        b"host",
        b"location",
        b"max-forwards",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"trailer",
        b"vary",
        b"via",
        b"www-authenticate",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)

IDEMPOTENT_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", b"QUERY", b"PROPFIND", b"SEARCH"}
)
SAFE_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"QUERY", b"PROPFIND", b"SEARCH"})


def list_members(value: bytes) -> list[bytes]:
    """Split a comma-separated list of tokens, in lower case, without empty members (RFC 9110 section 5.6.1)."""
    return [member for part in value.split(b",") if (member := part.strip(b" \t").lower())]
