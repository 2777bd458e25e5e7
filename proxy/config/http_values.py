"""Values of HTTP: paths, field names and values, cookies, protocols, redirects."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import quote

from proxy.config.errors import UnacceptableError

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_FIELD_VALUE: Final = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")
_PATH: Final = re.compile(r"/[!$&'()*+,\-./0-9:;=@A-Z_a-z~%]*")  # RFC 3986 section 3.3
_STANDS_IN_A_TARGET: Final = "".join(map(chr, range(0x21, 0x7F)))
_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
_UPGRADE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")

_URL: Final = re.compile(
    r"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?(?:/[!-~]*)?"
)

# Framing and the connection are ours alone: a field set here would break messages (RFC 9110 section 7.6.1).
_OURS: Final = frozenset(
    (
        *("connection", "content-length", "expect", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)


def url_scheme_and_host(value: object) -> tuple[str, str] | None:
    """Return scheme and host of an http or https URL without user name, or None for anything else."""
    match = _URL.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[4] or 0) > 65535:
        return None
    try:
        return match[1], str(IPv6Address(match[2])) if match[2] else match[3].lower()
    except AddressValueError:
        return None


def parse_path(value: object) -> str:
    """Return a path prefix in the form that requests are compared with."""
    expected = 'a path such as "/api/"'
    if not isinstance(value, str) or not value:
        raise UnacceptableError(expected)
    if not value.startswith("/"):
        hint = (
            "patterns are not supported: the longest prefix wins"
            if value[0] in "^~"
            else f'did you mean "/{value}"?'
        )
        raise UnacceptableError("a path with a leading slash", hint)
    if "?" in value or "#" in value:
        raise UnacceptableError("a path without query", f'did you mean "{re.split("[?#]", value)[0]}"?')
    if value.endswith("*"):
        raise UnacceptableError(expected, f'a path is a prefix already: did you mean "{value.rstrip("*")}"?')
    if not _PATH.fullmatch(value) or _ENCODED.search(value):
        raise UnacceptableError("a path as it stands in a URL", "percent-encode what is not allowed there")
    normal = _normal_path(value)
    if normal != value:
        raise UnacceptableError("a path in its normal form", f'did you mean "{normal}"?')
    return value


def parse_purge_path(value: str) -> str:
    """Return the beginning of a path in the form in which requests carry it, whichever way it is typed."""
    if not value.startswith("/"):
        raise UnacceptableError("a path with a leading slash")
    if value.endswith("*"):
        raise UnacceptableError("the beginning of a path", f'did you mean "{value.rstrip("*")}"?')
    return quote(value, safe=_STANDS_IN_A_TARGET, errors="surrogateescape")


def parse_probe(value: object) -> str:
    """Return a request target to probe, or ""."""
    if isinstance(value, str) and (not value or re.fullmatch(r"/[!-\"$-~]*", value)):
        return value
    raise UnacceptableError('a path such as "/healthz"')


def parse_field_name(value: object) -> str:
    """Return a field name in lower case."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise UnacceptableError('a field name such as "X-Device"')
    return value.lower()


def parse_set_field_name(value: object) -> str:
    """Return the name of a field that a route may set, as it is written."""
    name = parse_field_name(value)
    if name in _OURS:
        raise UnacceptableError("another field", "framing and the connection are Foregate's own")
    if name == "host":
        raise UnacceptableError("another field", 'the Host is set with host = "preserve" or "upstream"')
    return str(value)


def parse_field_value(value: object) -> str:
    """Return a field value: visible ASCII with inner spaces; "" removes the field (RFC 9110 section 5.5)."""
    if not isinstance(value, str):
        raise UnacceptableError('a string; "" removes the field')
    if not _FIELD_VALUE.fullmatch(value):
        ends = _FIELD_VALUE.fullmatch(value.strip(" \t"))
        raise UnacceptableError(
            "visible ASCII characters in one line", "it begins or ends with a space" if ends else ""
        )
    return value


def parse_cookie_glob(value: object) -> str:
    """Return the name of a cookie; a * stands for any characters."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise UnacceptableError('a cookie name such as "_ga" or "_ga_*"')
    if not value.strip("*"):
        raise UnacceptableError(
            "a cookie name", "without any cookie in the key users would see each other's pages"
        )
    return value


def parse_neutral_field(value: object) -> str:
    """Return a field name that may be left out of the cache key."""
    name = parse_field_name(value)
    if name == "cookie":
        raise UnacceptableError("another field", "cookies are left out of the key by name: ignore_cookies")
    if name in ("authorization", "proxy-authorization", "host"):
        raise UnacceptableError("another field", "without it in the key users would see each other's pages")
    return name


def parse_parameter(value: object) -> str:
    """Return the name of a query parameter."""
    if not isinstance(value, str) or not value or not value.isprintable() or set("=&?# ") & set(value):
        raise UnacceptableError('the name of a query parameter such as "token"')
    return value


def parse_upgrade(value: object) -> str:
    """Return a protocol that may be upgraded to, in lower case."""
    if not isinstance(value, str) or not _UPGRADE.fullmatch(value):
        raise UnacceptableError('a protocol such as "websocket"')
    name = value.lower()
    if name.partition("/")[0] in ("h2c", "tls"):
        raise UnacceptableError(
            "another protocol", "h2c and TLS are never upgraded to: they would bypass every rule"
        )
    return name


def parse_redirect(value: object) -> str:
    """Return the beginning of a URL to redirect to, without a trailing slash, or ""."""
    if value == "":
        return ""
    if isinstance(value, str) and url_scheme_and_host(value) and not {"?", "#"} & set(value):
        return value.rstrip("/")
    hint = ""
    if isinstance(value, str) and {"?", "#"} & set(value):
        hint = "path and query of the request are appended to it"
    elif isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(/.*)?", value):
        hint = f'did you mean "https://{value}"?'
    raise UnacceptableError('the beginning of a URL such as "https://www.example.com"', hint)


def _normal_path(path: str) -> str:
    """Decode what needs no encoding, take out dot segments and empty ones: the router's view of requests."""

    def decode(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if _UNRESERVED.fullmatch(character) else match[0].upper()

    segments = re.sub(r"%([0-9A-Fa-f]{2})", decode, path).split("/")
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            kept[-1:] = []
        elif segment not in ("", "."):
            kept.append(segment)
    is_folder = segments[-1] in ("", ".", "..") and kept
    return "/" + "/".join(kept) + ("/" if is_folder else "")
