"""Conditional requests answered from what is stored (RFC 9110 section 13, RFC 9111 section 4.3.2)."""

import re
from typing import Final

from proxy.caching.key import Pairs
from proxy.semantics.dates import parse_http_date

_ENTITY_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_LIST_ITEM: Final = re.compile(rb'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')
_REST: Final = re.compile(rb"[ \t,]*")


def field_values(pairs: Pairs, name: bytes) -> list[bytes]:
    """Return the values of all field lines with this lower-case name, in order."""
    return [value for lower, value in pairs if lower == name]


def single_value(pairs: Pairs, name: bytes) -> bytes | None:
    """Return the value of a field that may come once; None when it is absent or comes more often."""
    values = field_values(pairs, name)
    return values[0] if len(values) == 1 else None


def entity_tags(value: bytes) -> list[bytes] | None:
    """Take an If-None-Match list apart into entity tags; None where it is not such a list."""
    tags: list[bytes] = []
    position = 0
    while match := _LIST_ITEM.match(value, position):
        tags.append(match[1])
        position = match.end()
    return tags if tags and _REST.fullmatch(value, position) else None


def weakly_equal(one: bytes, other: bytes) -> bool:
    """Compare two entity tags, whether or not they are weak (RFC 9110 section 8.8.3.2)."""
    return one.removeprefix(b"W/") == other.removeprefix(b"W/")


def is_not_modified(request: Pairs, response: Pairs, now: float) -> bool:
    """Say whether a GET or HEAD gets 304 instead of this stored 200 (RFC 9110 section 13.2.2).

    `now` is in seconds since the epoch. If-Modified-Since counts only without If-None-Match.
    """
    conditions = field_values(request, b"if-none-match")
    if conditions:
        listed = b", ".join(conditions)
        etag = single_value(response, b"etag")
        if listed.strip(b" \t") == b"*":
            return True
        tags = entity_tags(listed)
        return etag is not None and tags is not None and any(weakly_equal(tag, etag) for tag in tags)
    since_value = single_value(request, b"if-modified-since")
    since = None if since_value is None else parse_http_date(since_value, now)
    if since is None:
        return False
    # Without Last-Modified the Date serves (RFC 9111 section 4.3.2).
    modified = single_value(response, b"last-modified") or single_value(response, b"date")
    modified_at = None if modified is None else parse_http_date(modified, now)
    return modified_at is not None and modified_at <= since


def if_range_holds(request: Pairs, response: Pairs, now: float) -> bool:
    """Say whether a Range may be applied as far as If-Range goes (RFC 9110 section 13.1.5): strong matches only."""
    values = field_values(request, b"if-range")
    if not values:
        return True
    if len(values) > 1:
        return False
    validator = values[0]
    if _ENTITY_TAG.fullmatch(validator):
        etag = single_value(response, b"etag")
        return etag == validator and not validator.startswith(b"W/")
    modified = single_value(response, b"last-modified")
    if modified is None or modified != validator:
        return False
    modified_at = parse_http_date(modified, now)
    date = single_value(response, b"date")
    generated_at = None if date is None else parse_http_date(date, now)
    # A date is a strong validator only if the content could not change twice in it (section 8.8.2.2).
    return modified_at is not None and generated_at is not None and generated_at - modified_at >= 1


def revalidation_fields(response: Pairs) -> Pairs:
    """Return the conditions under which the upstream may confirm a stored response (RFC 9111 section 4.3.1)."""
    fields: list[tuple[bytes, bytes]] = []
    etag = single_value(response, b"etag")
    if etag is not None and _ENTITY_TAG.fullmatch(etag):
        fields.append((b"if-none-match", etag))
    modified = single_value(response, b"last-modified")
    if modified is not None:
        fields.append((b"if-modified-since", modified))
    return tuple(fields)


def confirms(not_modified: Pairs, stored: Pairs) -> bool:
    """Say whether a 304 speaks of this stored response (RFC 9111 section 4.3.4).

    One that names another validator must not refresh it; one without any answers our own condition.
    """
    new_tag, old_tag = single_value(not_modified, b"etag"), single_value(stored, b"etag")
    if new_tag is not None:
        return old_tag is not None and weakly_equal(new_tag, old_tag)
    new_date = single_value(not_modified, b"last-modified")
    return new_date is None or new_date == single_value(stored, b"last-modified")
