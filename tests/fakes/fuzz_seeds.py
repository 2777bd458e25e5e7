"""What fuzzing begins with, and the words that it puts in, for each target of fuzz_targets.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.fakes.hostile import REQUESTS, RESPONSES, Case
from tests.fakes.tls_hello import openssl_hello

LONGEST: Final = 2000
_HTTP: Final = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b"chunked", b"Content-Length: ", b"Transfer-Encoding: ",
    b"Host: ", b"HTTP/1.1", b"HTTP/1.0", b"Connection: ", b"close", b"0\r\n\r\n", b"5\r\nhello\r\n", b";x=\"y\"",
    b"Upgrade: ", b"_",
)  # fmt: skip
_TOML: Final = (
    b"[server]\n", b"[tls]\n", b"[[site]]\n", b"[[site.route]]\n", b"domains = ", b"upstream = ", b"http://a:1",
    b"unix:/x", b"[cache]\n", b"ttl = ", b'"3s"', b'"64MB"', b"[rate_limit]\n", b"rate = ", b'"150/m"',
    b"[limits]\n", b"${NAME}", b"off", b"[timeouts]\n", b"[firewall]\n", b"deny = [", b'"10.0.0.0/8"',
    b"[client_ip]\n", b"trusted = ", b"true", b"-1", b"1e400", b"[log]\n", b"access = ", b"set_request_headers = {",
    b'"""', b"'''", b"inf", b"nan", b"1979-05-27", b"#",
)  # fmt: skip
DICTIONARIES: Final = {
    "request": (*_HTTP, b"GET / ", b"OPTIONS * ", b"http://a.test/", b"Expect: 100-continue"),
    "response": (*_HTTP, b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 X\r\n"),
    "chunks": _HTTP,
    "hello": (
        b"\x16\x03\x01", b"\x01\x00", b"\x00\x00", b"\x00\x10", b"a.test", b"http/1.1", b"h2", b"\x03\x03",
    ),
    "proxy_header": (
        b"PROXY TCP4 ", b"PROXY TCP6 ", b"UNKNOWN", b"\r\n\r\n\x00\r\nQUIT\n", b"\x21\x11", b"::1", b"127.0.0.1",
    ),
    "client": (
        b"for=", b"10.0.0.1", b"[fd00::1]", b":80", b'"', b",", b";", b"proto=http", b"unknown", b"_hidden", b"\n",
    ),
    "config": _TOML,
    "values": (
        b"max-age=", b"no-store", b"private", b"bytes=", b"0-", b"-5", b",", b"Sun, 06 Nov 1994 08:49:37 GMT", b'"',
    ),
}  # fmt: skip
_SITE: Final = b'[[site]]\ndomains = ["a.test"]\nupstream = "http://app:3000"\n'
_TABLES: Final = b'[tls]\nmode = "off"\n[rate_limit]\nrate = "5/s"\n[cache]\nttl = "0s"\n' + _SITE
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n\x21"
_KEPT: Final = Path(__file__).parents[1] / "wire" / "fuzz"


def _messages(families: Mapping[str, list[Case]]) -> list[bytes]:
    return [
        b"\x07" + case.octets for family in families.values() for case in family if len(case.octets) < LONGEST
    ]


def seeds(name: str) -> list[bytes]:
    """Return the seeds of a target, and everything that once broke it."""
    found = {
        "request": lambda: _messages(REQUESTS),
        "response": lambda: _messages(RESPONSES),
        "chunks": lambda: [
            b"\x03" + case.octets.partition(b"\r\n\r\n")[2]
            for family in ("chunk size", "chunk extensions", "trailers", "chunks that are fine")
            for case in REQUESTS[family]
            if len(case.octets) < LONGEST
        ],
        "hello": lambda: [
            b"\x05" + openssl_hello(),
            b"\x05" + openssl_hello(None),
            b"\x05" + openssl_hello(alpn=["h2"]),
        ],
        "proxy_header": lambda: [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 2\r\n",
            b"PROXY UNKNOWN\r\n",
            _V2 + b"\x11\x00\x0c" + bytes(range(12)),
            _V2 + b"\x21\x00\x27" + bytes(36) + b"\x04\x00\x00",
        ],
        "client": lambda: [
            b"192.0.2.1, 10.0.0.2",
            b'for=192.0.2.1;proto=http, for="[fd00::1]:80"',
            b"1.2.3.4:5\n[2001:db8::1]:6, 10.1.1.1",
        ],
        "config": lambda: [_SITE, _TABLES, Path(__file__).parents[2].joinpath("proxy.toml").read_bytes()],
        "values": lambda: [b'max-age=5, private="x, y"', b"bytes=0-5", b"Sun, 06 Nov 1994 08:49:37 GMT"],
    }[name]()
    return found + [path.read_bytes() for path in sorted(_KEPT.glob(f"{name}-*"))]
