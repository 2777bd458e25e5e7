"""Where content ends, whole and in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MessageError
from proxy.http1.body import (
    MAX_CHUNK_LINE,
    MAX_EXTENSIONS,
    MAX_TRAILER_SECTION,
    BodyDecoder,
    ChunkedDecoder,
    CloseDecoder,
    LengthDecoder,
)


def decode(decoder: BodyDecoder, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Feed pieces until the message is over; return (content, what is left)."""
    content = b""
    for number, piece in enumerate(pieces):
        octets, consumed = decoder.feed(piece)
        content += octets
        if decoder.finished:
            return content, piece[consumed:] + b"".join(pieces[number + 1 :])
        assert consumed == len(piece)
    return content, b""


def split(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    ("octets", "content", "trailers"),
    [
        (b"0\r\n\r\n", b"", ()),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", ()),
        (b"A\r\n0123456789\r\n1\r\n!\r\n000\r\n\r\n", b"0123456789!", ()),
        (b'5;a=b; c="d\\"e" ;f\r\nhello\r\n0;z\r\n\r\n', b"hello", ()),
        (
            b"1\r\nx\r\n0\r\nX-Sum: 1\r\nx-b:2 \r\n\r\n",
            b"x",
            ((b"x-sum", b"X-Sum", b"1"), (b"x-b", b"x-b", b"2")),
        ),
        (
            b"0\r\nContent-Length: 9\r\nHost: x\r\nContent_Length: 3\r\nOk: y\r\n\r\n",
            b"",
            ((b"ok", b"Ok", b"y"),),
        ),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", ()),
    ],
)
def test_decodes_chunks(octets: bytes, content: bytes, trailers: tuple[object, ...], size: int) -> None:
    decoder = ChunkedDecoder()
    assert decode(decoder, split(octets + b"GET /next", size)) == (content, b"GET /next")
    assert decoder.finished
    assert decoder.trailers == trailers


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloo\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5;\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;a\x00\r\nhello\r\n",
        b'5;a="b\r\nhello\r\n',
        b"5;a\rb\r\nhello\r\n",
        b"g\r\n",
        b"1000000000000000\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: \x01\r\n\r\n",
        b"0\r\n\nx",
        b"5" + b";a" * MAX_CHUNK_LINE + b"\r\n",
        b"0\r\n" + b"X: y\r\n" * MAX_TRAILER_SECTION,
        (b"1" + b";a" * 400 + b"\r\nx\r\n") * (MAX_EXTENSIONS // 800 + 1),
    ],
)
def test_refuses_malformed_chunks(octets: bytes, size: int) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(MessageError):
        decode(decoder, split(octets, size))
    assert not decoder.finished


@pytest.mark.parametrize("size", [1, 3, 500, 5000, 100_000])
@pytest.mark.parametrize("excess", [0, 1])
def test_the_bound_of_trailers_is_the_same_however_they_come(size: int, excess: int) -> None:
    line = b"X: " + b"y" * (MAX_TRAILER_SECTION - 5 + excess) + b"\r\n"
    decoder = ChunkedDecoder()
    pieces = split(b"0\r\n" + line + b"\r\nnext", size)
    if excess:
        with pytest.raises(MessageError):
            decode(decoder, pieces)
    else:
        assert decode(decoder, pieces) == (b"", b"next")


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 40), min_size=1))
def test_any_split_gives_the_same_content(chunks: list[bytes], sizes: list[int]) -> None:
    octets = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nrest"
    pieces, position, turn = [], 0, 0
    while position < len(octets):
        size = sizes[turn % len(sizes)]
        pieces.append(octets[position : position + size])
        position, turn = position + size, turn + 1
    assert decode(ChunkedDecoder(), pieces) == (b"".join(chunks), b"rest")


def test_ten_thousand_chunks_of_one_packet_come_out_as_one_piece() -> None:
    content, _ = ChunkedDecoder().feed(b"1\r\nx\r\n" * 10_000)
    assert content == b"x" * 10_000


@pytest.mark.parametrize("size", [1, 4, 100])
def test_content_of_known_length_ends_there(size: int) -> None:
    assert decode(LengthDecoder(5), split(b"hellonext", size)) == (b"hello", b"next")


def test_content_of_no_octets_is_over_at_once() -> None:
    assert LengthDecoder(0).finished


def test_close_delimited_content_never_ends_by_itself() -> None:
    decoder = CloseDecoder()
    assert decoder.feed(b"abc") == (b"abc", 3)
    assert not decoder.finished
