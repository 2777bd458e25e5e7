"""What clients get of a stored response: all, a part, nothing new (RFC 9110 sections 13 to 15)."""

import pytest

from proxy.caching.key import Pairs
from proxy.caching.outcomes import Reason
from proxy.caching.record import Stamp, Stored
from proxy.caching.rendering import Shaped, block_to_store, prefix_of, refreshed_block, shape
from tests.fakes.cache import WALL, identity_of

BLOCK = (
    b"Date: Sun, 06 Nov 1994 09:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Encoding: br\r\n"
    b'ETag: "v1"\r\nVary: Accept-Encoding\r\nContent-Location: /a\r\nX-Frame-Options: DENY\r\n'
)
NO_STAMP = Stamp(b"", b"", 0, ())


def stored_of(status: int = 200, block: bytes = BLOCK, body: bytes = b"0123456789") -> Stored:
    return Stored(status, b"", block, body, 0, 0, 0, 0, NO_STAMP)


def shaped(
    *request: tuple[bytes, bytes], method: bytes = b"GET", stored: Stored | None = None
) -> Shaped | Reason:
    stored = stored or stored_of()
    prefix = prefix_of(stored.status, stored.reason, stored.block, len(stored.body))
    return shape(stored, prefix, method, identity_of(*request), WALL)


def answer(*request: tuple[bytes, bytes], method: bytes = b"GET", stored: Stored | None = None) -> Shaped:
    found = shaped(*request, method=method, stored=stored)
    assert isinstance(found, Shaped)
    return found


def fields_of(found: Shaped) -> Pairs:
    lines = found.prefix.split(b"\r\n")[1:-1]
    return tuple((line.partition(b": ")[0].lower(), line.partition(b": ")[2]) for line in lines)


def test_content_is_never_changed() -> None:
    found = answer()
    assert found.prefix == b"HTTP/1.1 200 OK\r\n" + BLOCK + b"Content-Length: 10\r\n"
    assert found.content == b"0123456789"


def test_rfc9110_9_3_2_head_has_the_fields_of_get_and_no_content() -> None:
    assert answer(method=b"HEAD") == answer()._replace(content=b"")


@pytest.mark.parametrize(("status", "has_length"), [(200, True), (404, True), (301, True), (204, False)])
def test_rfc9110_8_6_content_length(status: int, has_length: bool) -> None:
    found = answer(stored=stored_of(status, body=b""))
    assert (b"content-length" in dict(fields_of(found))) is has_length


def test_rfc9110_15_4_5_a_304_has_validators_but_nothing_about_content() -> None:
    found = answer((b"if-none-match", b'"v1"'))
    names = [name for name, _ in fields_of(found)]
    assert (found.status, found.content) == (304, b"")
    assert names == [b"date", b"etag", b"vary", b"content-location", b"x-frame-options"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_rfc9110_13_1_2_conditions_count_for_get_and_head(method: bytes) -> None:
    assert answer((b"if-none-match", b'"v1"'), method=method).status == 304


@pytest.mark.parametrize("status", [204, 301, 404])
def test_rfc9110_13_2_1_conditions_and_ranges_count_for_a_200_alone(status: int) -> None:
    request = ((b"if-none-match", b"*"), (b"range", b"bytes=0-0"))
    assert answer(*request, stored=stored_of(status)).status == status


def test_rfc9110_15_3_7_a_part() -> None:
    found = answer((b"range", b"bytes=2-4"))
    fields = dict(fields_of(found))
    assert (found.status, found.content) == (206, b"234")
    assert fields[b"content-range"] == b"bytes 2-4/10"
    assert fields[b"content-length"] == b"3"
    assert fields[b"etag"] == b'"v1"'


def test_rfc9110_15_5_17_no_part() -> None:
    found = answer((b"range", b"bytes=10-"))
    fields = dict(fields_of(found))
    assert (found.status, found.content) == (416, b"")
    assert fields[b"content-range"] == b"bytes */10"
    assert fields[b"content-length"] == b"0"
    assert b"content-type" not in fields


def test_several_ranges_go_to_the_upstream() -> None:
    assert shaped((b"range", b"bytes=0-1,4-5")) is Reason.RANGE
    assert shaped((b"range", b"bytes=0-1"), (b"range", b"4-5")) is Reason.RANGE


def test_rfc9110_14_2_a_range_is_for_get_alone() -> None:
    assert answer((b"range", b"bytes=0-1"), method=b"HEAD").status == 200


def test_rfc9110_14_2_a_malformed_range_is_ignored() -> None:
    assert answer((b"range", b"bytes=x")).status == 200


def test_rfc9110_14_3_a_resource_without_ranges_is_given_whole() -> None:
    block = BLOCK + b"Accept-Ranges: none\r\n"
    assert answer((b"range", b"bytes=0-1"), stored=stored_of(block=block)).status == 200


@pytest.mark.parametrize(("validator", "status"), [(b'"v1"', 206), (b'"v0"', 200)])
def test_rfc9110_13_1_5_if_range(validator: bytes, status: int) -> None:
    assert answer((b"range", b"bytes=0-1"), (b"if-range", validator)).status == status


def test_rfc9110_13_2_2_if_none_match_comes_before_range() -> None:
    assert answer((b"if-none-match", b'"v1"'), (b"range", b"bytes=0-1")).status == 304


def test_what_is_told_anew_is_not_stored() -> None:
    block = (
        b"Age: 7\r\nX-Cache-Status: HIT\r\nConnection: close\r\nContent-Length: 5\r\nETag: x\r\nDate: y\r\n"
    )
    assert block_to_store(block, WALL) == b"ETag: x\r\nDate: y\r\n"


def test_rfc9211_2_an_upstream_caches_status_stays() -> None:
    block = b"Cache-Status: origin; hit\r\nDate: y\r\n"
    assert block_to_store(block, WALL) == block


def test_rfc9110_6_6_1_a_date_is_added_once_and_kept() -> None:
    assert block_to_store(b"", 784111777.9) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert block_to_store(b"date: x\r\n", WALL) == b"date: x\r\n"


def test_rfc9111_3_2_a_304_updates_fields_but_none_about_content() -> None:
    block = b'Date: a\r\nETag: "v1"\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\n'
    news = b"date: b\r\nX-A: 3\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\nContent-Type: x/y\r\nAge: 3\r\n"
    expected = b'ETag: "v1"\r\nContent-Type: text/plain\r\ndate: b\r\nX-A: 3\r\nCache-Control: max-age=9\r\n'
    assert refreshed_block(block, news) == expected


def test_rfc9111_3_2_a_304_cannot_smuggle_a_cookie_into_a_stored_response() -> None:
    assert refreshed_block(b"Date: a\r\n", b"Set-Cookie: session=1\r\n") == b"Date: a\r\n"
