"""Field sections as hypothesis draws them: like those of browsers, but now and then with a fault or an oddity."""

from hypothesis import strategies as st

_VALUES = st.one_of(
    st.sampled_from([b"", b"a", b" a ", b"\ta;b", b"a=1; b=2", b"_ga=1; a=2", b"; ;", b" ", b"Cookie: a"]),
    st.sampled_from([b"a\rb", b"a\nb", b"\0", b"\x7f", b"\xe4", b"a\r\n b", b"x" * 300]),
    st.binary(max_size=6),
)
#: Values that the grammar admits.
GOOD_VALUES = st.one_of(
    st.sampled_from(
        [b"", b"a", b"a=1; b=2", b"_ga=1; a=2", b"_ga=1", b"; ;", b" ;", b"a;" * 140, b"_ga_=;x"]
    ),
    st.text(alphabet="a_g=; \t\xe4", max_size=12).map(lambda text: text.encode("latin-1").strip(b" \t")),
)
_COOKIES = st.builds(
    lambda start, value: start + value,
    st.sampled_from(
        [b"Cookie: ", b"Cookie: ", b"Cookie: ", b"Cookie:", b"cookie: ", b"Cookie:\t", b"Cookie : "]
    ),
    _VALUES,
)
_GOOD_LINES = (
    b"Host: a.example",
    b"Accept: text/html",
    b"User-Agent: x",
    b"X-Api-Key: k",
    b"Accept-Encoding: gzip",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-For: 192.0.2.7",
    b"Forwarded: for=192.0.2.7",
    b"Referer: <script>",
    b"DNT: 1",
    b"Zone: z",
    b"Via: 1.1 foregate",
    b"If-None-Match: x",
    b"If-Match: x",
    b"Range: bytes=0-1",
    b"Connection: upgrade, zone, cookie",
    b"Upgrade: websocket",
    b"X-HTTP-Method-Override: PUT",
    b"Expect: 100-continue",
    b"Content-Length: 2",
    b"Content-Type: application/grpc",
)
_ODD_LINES = (
    b"Host: b.example",
    b"Content-Length: x",
    b"Transfer-Encoding: chunked",
    b" folded: x",
    b"no colon",
    b"",
    b"X\0: a",
    b"Connection: close",
)
_LINES = st.one_of(st.sampled_from(_GOOD_LINES), _COOKIES, st.sampled_from(_ODD_LINES))


def _joined(lines: list[bytes]) -> bytes:
    return b"".join([line + b"\r\n" for line in lines])


#: Whole sections; about half of them are refused.
SECTIONS = st.builds(
    lambda first, others, cookie: _joined([*first, *others[:2], *cookie, *others[2:]]),
    st.sampled_from([[_GOOD_LINES[0]], [_GOOD_LINES[0]], []]),
    st.lists(_LINES, max_size=4),
    st.lists(_COOKIES, max_size=2),
)
#: Sections that are accepted, with one line "Cookie: VALUE" among others.
GOOD_SECTIONS = st.builds(
    lambda lines, at, value: _joined(
        [
            _GOOD_LINES[0],
            *lines[: at % (len(lines) + 1)],
            b"Cookie: " + value,
            *lines[at % (len(lines) + 1) :],
        ]
    ),
    st.lists(st.sampled_from(_GOOD_LINES[1:]), max_size=6, unique=True),
    st.integers(0, 6),
    GOOD_VALUES,
)
