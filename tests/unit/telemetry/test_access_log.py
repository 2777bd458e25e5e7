"""Lines of the access log: complete, bounded, without secrets, and always one line."""

import json
import re
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.schema import Config
from proxy.exchange import Downstream, Exchange
from proxy.http1.request import parse_request_fields, parse_request_line
from proxy.snapshot import Snapshot, SnapshotParts
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.counters import COUNTERS_SIZE, WorkerCounters
from proxy.telemetry.line_writer import PIPE_WRITE
from tests.fakes.gateway import Lines

if TYPE_CHECKING:
    from proxy.upstream.directory import UpstreamDirectory

SECRETS = ("token", "access_token", "key", "api_key", "password", "secret", "code", "signature")
ID = b"0123456789abcdef0123456789abcdef"

SNAPSHOT = Snapshot(
    Config(),
    SnapshotParts(
        cast("UpstreamDirectory", None), WorkerCounters(memoryview(bytearray(COUNTERS_SIZE)).cast("Q")), {}
    ),
)


def exchange_of(
    target: bytes = b"/", section: bytes = b"", *, method: bytes = b"GET", host: bytes = b"a.test"
) -> Exchange:
    """Make an exchange that is over."""
    fields = parse_request_fields(b"Host: %s\r\n%s" % (host, section), 1, 1000)
    downstream = cast("Downstream", None)
    exchange = Exchange(downstream, SNAPSHOT, method, target, 1, fields, 0)
    exchange.client = b"192.0.2.7"
    exchange.status = 200
    exchange.received, exchange.sent = 3, 1234
    return exchange


def line_of(
    exchange: Exchange,
    *,
    combined: bool = False,
    secrets: tuple[str, ...] = SECRETS,
    nanoseconds: int = 12_345_600,
    tls: str = "",
) -> str:
    """Return the line that is written for an exchange."""
    sink = Lines()
    log = AccessLog(sink, combined=combined, redact_query=secrets)
    log.write(exchange, ID, nanoseconds, tls)
    (line,) = sink.lines
    return line


def test_a_json_line_says_everything() -> None:
    exchange = exchange_of(
        b"/a?b=c", b'User-Agent: curl/8 "x"\r\nReferer: https://b.test/?token=x\r\n', method=b"POST"
    )
    exchange.upstream_address = "127.0.0.1:3000"
    exchange.upstream_seconds = 0.01
    exchange.cache_outcome = 2
    exchange.error, exchange.limited, exchange.retries = "reset", 2, 1
    line = json.loads(line_of(exchange, tls="TLSv1.3"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "id": ID.decode(),
        "client": "192.0.2.7",
        "method": "POST",
        "target": "/a?b=c",
        "protocol": "HTTP/1.1",
        "status": 200,
        "received": 3,
        "sent": 1234,
        "seconds": 0.012346,
        "cache": "MISS",
        "upstream": "127.0.0.1:3000",
        "upstream_seconds": 0.01,
        "error": "reset",
        "limit": "dry-run",
        "retries": 1,
        "tls": "TLSv1.3",
        "host": "a.test",
        "user_agent": 'curl/8 "x"',
        "referer": "https://b.test/?token=[redacted]",
    }


def test_a_combined_line_is_what_log_readers_know() -> None:
    exchange = exchange_of(b"/a?password=x", b'User-Agent: curl "8"\r\n')
    pattern = (
        r"192\.0\.2\.7 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        r'"GET /a\?password=\[redacted\] HTTP/1\.1" 200 1234 "-" "curl \\"8\\""'
    )
    assert re.fullmatch(pattern, line_of(exchange, combined=True))


@pytest.mark.parametrize(
    ("nanoseconds", "written"),
    [
        (0, "0.000000"),
        (499, "0.000000"),
        (500, "0.000001"),
        (123_400, "0.000123"),
        (999_499, "0.000999"),
        (999_500, "0.001000"),
        (1_000_000, "0.001000"),
        (40_506_000, "0.040506"),
        (999_999_499, "0.999999"),
        (999_999_500, "1.000000"),
        (61_000_007_000, "61.000007"),
    ],
)
def test_how_long_it_took_is_told_to_the_microsecond(nanoseconds: int, written: str) -> None:
    assert f'"seconds":{written},' in line_of(exchange_of(), nanoseconds=nanoseconds)


@pytest.mark.parametrize(
    ("now", "written"),
    [
        (1_600_000_000.0, "2020-09-13T12:26:40.000Z"),
        (1_600_000_000.9999, "2020-09-13T12:26:40.999Z"),
        (1_600_000_001.25, "2020-09-13T12:26:41.250Z"),
        (1_599_999_999.5, "2020-09-13T12:26:39.500Z"),  # somebody has set the clock back
    ],
)
def test_a_line_tells_when_it_was_written(monkeypatch: pytest.MonkeyPatch, now: float, written: str) -> None:
    sink = Lines()
    log = AccessLog(sink, combined=False, redact_query=())
    for moment in (1_600_000_000.5, now):
        monkeypatch.setattr("proxy.telemetry.access_log.time.time", lambda moment=moment: moment)
        log.write(exchange_of(), ID, 0, "")
    assert json.loads(sink.lines[1])["time"] == written


def test_nothing_is_written_without_a_sink() -> None:
    AccessLog(None, combined=False, redact_query=()).write(exchange_of(), ID, 0, "")


def test_an_upstream_that_did_not_answer_took_no_time() -> None:
    exchange = exchange_of()
    exchange.upstream_address = "127.0.0.1:3000"
    assert json.loads(line_of(exchange))["upstream_seconds"] is None


def test_a_socket_path_may_hold_anything() -> None:
    exchange = exchange_of()
    exchange.upstream_address = 'unix:/run/"a"\\\n/é' + "\u2028" * 100
    line = line_of(exchange)
    assert json.loads(line)["upstream"].startswith('unix:/run/"a"\\\n/é')
    assert "\n" not in line


@pytest.mark.parametrize(
    ("target", "logged"),
    [
        ("/?token=abc", "/?token=[redacted]"),
        ("/?a=b&TOKEN=abc&c=d", "/?a=b&TOKEN=[redacted]&c=d"),
        ("/?%74oke%6E=abc", "/?token=[redacted]"),
        ("/?access%5Ftoken=abc", "/?access_token=[redacted]"),
        ("/?api_key=abc&key=def", "/?api_key=[redacted]&key=[redacted]"),
        ("/?token=", "/?token=[redacted]"),
        ("/?token=a;b=c&d=e", "/?token=[redacted]&d=e"),
        ("/;token=abc?x", "/;token=[redacted]"),
        ("/?user[password]=abc&x=y", "/?user[password]=[redacted]&x=y"),
        ("/?user%5Bpassword%5D=abc", "/?user[password]=[redacted]"),
        ("/?token[]=abc&token[]=def", "/?token[]=[redacted]&token[]=[redacted]"),
        ("/?mytoken=abc", "/?mytoken=abc"),
        ("/?tokens=abc", "/?tokens=abc"),
        ("/token=abc", "/token=abc"),
        ("/a\\b"[:2] + "?q=\\", "/a?q=\\"),
        ("*", "*"),
    ],
)
def test_secrets_in_the_query_are_redacted(target: str, logged: str) -> None:
    assert json.loads(line_of(exchange_of(target.encode())))["target"] == logged


def test_which_names_are_secret_is_configured() -> None:
    line = json.loads(line_of(exchange_of(b"/?token=a&a.b=c"), secrets=("a.b",)))
    assert line["target"] == "/?token=a&a.b=[redacted]"
    assert json.loads(line_of(exchange_of(b"/?token=a"), secrets=()))["target"] == "/?token=a"


def test_credentials_never_come_in() -> None:
    section = b"Authorization: Basic s3cret\r\nCookie: s=s3cret\r\nProxy-Authorization: s3cret\r\n"
    for combined in (False, True):
        assert "s3cret" not in line_of(exchange_of(b"/", section), combined=combined)


WORST = [
    b"/" + b"a" * 16_000,
    b"/?" + b"\\" * 16_000,
    b"/?" + b"key=&" * 3000,
    b"/?a" + b"\\" * 1896 + b"&key=b",
    b"/?" + b"%41" * 5000,
]
TEXTS = [
    b"a" * 5000,
    b'"' * 5000,
    b"\\" * 5000,
    b"\xff" * 5000,
    "\U0001f600".encode() * 1500,
    b"\t\x80" * 2000,
]


@pytest.mark.parametrize("combined", [False, True])
@pytest.mark.parametrize("target", WORST)
@pytest.mark.parametrize("text", TEXTS)
def test_a_line_always_fits_into_one_write(target: bytes, text: bytes, combined: bool) -> None:
    section = b"User-Agent: x%s\r\nReferer: x%sx\r\n" % (text, text)
    exchange = exchange_of(target, section, method=b"M" * 32, host=b"h" * 5000)
    exchange.client = b"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
    exchange.upstream_address = "unix:" + "\U0001f600" * 100
    exchange.received = exchange.sent = 2**63
    exchange.error, exchange.limited, exchange.retries = "first-byte-timeout", 2, 1000
    line = line_of(exchange, combined=combined, tls="TLSv1.3")
    assert len(line.encode()) < PIPE_WRITE
    assert line.isascii()
    assert line.isprintable()
    if not combined:
        assert json.loads(line)["host"].startswith("hhh")


VALUES = st.binary(max_size=200).map(lambda octets: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"?", octets))
TARGETS = st.text("abc/?&=;%5bB[]\\^`{}|~.-_tokenkey", max_size=60).map(lambda text: b"/" + text.encode())


def parsed(target: bytes) -> bool:
    """Say whether a request with this target would ever be logged."""
    try:
        return parse_request_line(b"GET %s HTTP/1.1" % target).target == target
    except Exception:
        return False


@settings(max_examples=300, deadline=None)
@given(TARGETS.filter(parsed), VALUES, VALUES)
def test_no_value_ever_breaks_out_of_its_place(target: bytes, agent: bytes, referer: bytes) -> None:
    exchange = exchange_of(target, b"User-Agent: %s\r\nReferer: %s\r\n" % (agent, referer))
    line = line_of(exchange, secrets=())
    assert line.isascii()
    assert line.isprintable()
    fields = json.loads(line)
    assert fields["user_agent"] == agent.strip(b" \t").decode("utf-8", "replace")
    combined = line_of(exchange, combined=True, secrets=())
    assert combined.isascii()
    assert combined.isprintable()
    quoted = re.findall(r'"(?:[^"\\]|\\.)*"', combined)
    assert len(quoted) == 3
    assert combined.endswith(f"{quoted[1]} {quoted[2]}")


@pytest.mark.parametrize("octet", [bytes((octet,)) for octet in range(256) if octet not in b"\r\n"])
def test_every_octet_that_a_field_may_hold_is_harmless(octet: bytes) -> None:
    try:
        exchange = exchange_of(b"/", b"User-Agent: a%sb\r\n" % octet)
    except Exception:
        assert octet < b" " or octet == b"\x7f"
        return
    for combined in (False, True):
        line = line_of(exchange, combined=combined)
        assert line.isascii()
        assert line.isprintable()


def test_texts_are_made_once_for_a_field_section() -> None:
    exchange = exchange_of(b"/", b"User-Agent: x\r\n")
    sink = Lines()
    log = AccessLog(sink, combined=False, redact_query=SECRETS)
    for _ in range(2):
        log.write(exchange, ID, 0, "")
    (texts,) = [value for key, value in exchange.fields.shared.items() if key == "access-log"]
    log.write(exchange, ID, 0, "")
    assert exchange.fields.shared["access-log"] is texts
