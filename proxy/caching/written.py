"""What a write may have changed: its target and what its response points to (RFC 9111 section 4.4)."""

from typing import Final
from urllib.parse import urljoin, urlsplit

from proxy.caching.conditional import field_values
from proxy.caching.key import Pairs

_POINTERS: Final = (b"location", b"content-location")
#: Longer references are no target that anybody could have asked for.
_LONGEST: Final = 16 * 1024


def written_targets(target: bytes, host: bytes, response: Pairs = ()) -> tuple[bytes, ...]:
    """Return the raw targets that an unsafe request makes void: its own, and those its response names.

    `host` is the request's Host. References to another host are left out, as the RFC demands: a site must not be
    able to void another's responses. Scheme and port may differ; that voids too much at worst.
    """
    targets = [target]
    origin = "http://" + host.decode("latin-1") if host else "http://host.invalid"
    name = _host_of(origin)
    for pointer in _POINTERS:
        for value in field_values(response, pointer):
            named = _target_of(origin + target.decode("latin-1"), name, value)
            if named is not None:
                targets.append(named)
    return tuple(dict.fromkeys(targets))


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _target_of(base: str, name: str | None, value: bytes) -> bytes | None:
    """Resolve a reference against a request's URL; None where it leads to another host or nowhere."""
    if name is None or len(value) > _LONGEST:
        return None
    try:
        parts = urlsplit(urljoin(base, value.decode("latin-1")))
        if parts.hostname != name or parts.scheme not in ("http", "https"):
            return None
    except ValueError:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path or '/'}{query}".encode("latin-1", "replace")
