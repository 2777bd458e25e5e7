"""The record stream, between a client in memory and nothing."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.downstream.tls_stream import CONTROL_ALLOWANCE, TlsStreamError
from tests.fakes.certificates import Authority
from tests.fakes.tls_peer import ALERT, HANDSHAKE, RecordForge
from tests.fakes.tls_wire import Wire, World

BOTH = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def forge(world: World, tmp_path: Path) -> Callable[[], tuple[Wire, RecordForge]]:
    def make() -> tuple[Wire, RecordForge]:
        context = world.authority.client_context()
        context.keylog_filename = str(tmp_path / "keys")
        wire = world.wire(context=context)
        wire.shake_hands()
        return wire, RecordForge(tmp_path / "keys")

    return make


@BOTH
@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_handshake_and_content_both_ways(world: World, version: ssl.TLSVersion, piece: int) -> None:
    wire = world.wire(version)
    assert wire.shake_hands(piece) == b""
    assert wire.server.tls.version() == version.name.replace("_", ".")
    assert wire.deliver(wire.client.send(b"request")) == b"request"
    wire.client.receive(wire.server.send(b"response"))
    assert wire.client.content == b"response"


@BOTH
def test_content_that_comes_with_the_end_of_the_handshake_is_kept(
    world: World, version: ssl.TLSVersion
) -> None:
    wire = world.wire(version)
    wire.server.handshake(wire.client.start())
    last = wire.client.receive(wire.server.take_answers())
    if version is ssl.TLSVersion.TLSv1_2:
        assert wire.server.handshake(last) == b""
        wire.client.receive(wire.server.take_answers())
        last = b""
    request = wire.client.send(b"request")
    rest = wire.server.handshake(last + request) if last else request
    wire.check_buffers()
    assert rest
    assert wire.server.receive(rest) == b"request"


@BOTH
def test_a_session_is_resumed(world: World, version: ssl.TLSVersion) -> None:
    context = world.authority.client_context()
    context.maximum_version = version
    first = world.wire(context=context)
    first.shake_hands()
    assert not first.server.tls.session_reused
    second = world.wire(context=context, session=first.client.tls.session)
    second.shake_hands()
    assert second.server.tls.session_reused


@BOTH
@pytest.mark.parametrize("size", [1, 16384, 16385, 300_000])
def test_much_content_in_pieces_of_any_size(world: World, version: ssl.TLSVersion, size: int) -> None:
    wire = world.established(version)
    content = bytes(range(256)) * (size // 256 + 1)
    octets = wire.client.send(content)
    for piece in (1460, 16384, 65536, 256_000):
        received = b"".join(
            wire.deliver(octets[start : start + piece]) for start in range(0, len(octets), piece)
        )
        assert received == content
        assert not wire.server.eventful
        octets = wire.client.send(content)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_connections_share_buffers_without_mixing(world: World, data: st.DataObject) -> None:
    wires = [world.wire(data.draw(st.sampled_from([*ssl.TLSVersion][-2:]))) for _ in range(3)]
    for wire in wires:
        wire.shake_hands()
    sent = [b"", b"", b""]
    received = [b"", b"", b""]
    under_way = [b"", b"", b""]
    for _ in range(data.draw(st.integers(1, 25))):
        number = data.draw(st.integers(0, 2))
        if data.draw(st.booleans()):
            content = data.draw(st.binary(min_size=1, max_size=50)) * data.draw(st.sampled_from([1, 500]))
            sent[number] += content
            under_way[number] += wires[number].client.send(content)
        else:
            cut = data.draw(st.integers(0, len(under_way[number])))
            received[number] += wires[number].deliver(under_way[number][:cut])
            under_way[number] = under_way[number][cut:]
    for number, wire in enumerate(wires):
        assert received[number] + wire.deliver(under_way[number]) == sent[number]


@BOTH
def test_close_notify_ends_the_stream_after_its_content(world: World, version: ssl.TLSVersion) -> None:
    wire = world.established(version)
    assert wire.deliver(wire.client.send(b"last words") + wire.client.close()) == b"last words"
    assert wire.server.ended
    assert wire.server.error is None
    wire.client.receive(wire.server.close())
    wire.check_buffers()
    assert wire.client.closed_by_server


@BOTH
def test_the_client_may_go_on_after_our_close_notify(world: World, version: ssl.TLSVersion) -> None:
    wire = world.established(version)
    notify = wire.server.close()
    wire.check_buffers()
    assert wire.deliver(wire.client.send(b"still sending")) == b"still sending"
    wire.client.receive(notify)
    assert wire.client.closed_by_server
    wire.deliver(wire.client.close())
    assert wire.server.ended


@BOTH
@pytest.mark.parametrize(
    "damage",
    [
        lambda octets: octets[:-1] + bytes((octets[-1] ^ 1,)),
        lambda octets: b"\x17\x03\x03\x48\x01" + bytes(300),
        lambda octets: b"\xff" * 200,
        lambda octets: b"GET / HTTP/1.1\r\n\r\n",
        lambda octets: b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
        lambda octets: octets[:3] + b"\x00\x01\x00" + octets[5:],
    ],
    ids=["bit flip", "oversize", "garbage", "http", "plain hello", "cut record"],
)
def test_broken_records_end_in_an_error_and_an_alert(
    world: World, version: ssl.TLSVersion, damage: Callable[[bytes], bytes]
) -> None:
    wire = world.established(version)
    octets = wire.client.send(b"request")
    assert wire.server.receive(damage(octets)) == b""
    wire.check_buffers()
    assert wire.server.error is not None
    alert = wire.server.take_answers()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        wire.client.receive(alert)
    with pytest.raises(TlsStreamError):
        wire.server.send(b"response")
    wire.check_buffers()


def test_a_handshake_with_nothing_in_common_is_an_error(world: World) -> None:
    context = world.authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
    wire = world.wire(context=context)
    with pytest.raises(TlsStreamError, match="no shared cipher"):
        wire.server.handshake(wire.client.start())
    wire.check_buffers()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert handshake failure"):
        wire.client.receive(wire.server.take_answers())


def test_an_alert_of_the_client_is_told(world: World, tmp_path: Path) -> None:
    wire = world.wire(context=Authority(tmp_path).client_context())
    wire.server.handshake(wire.client.start())
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.client.receive(wire.server.take_answers())
    with pytest.raises(TlsStreamError, match="alert unknown ca"):
        wire.server.handshake(wire.client.waiting())
    wire.check_buffers()


def test_key_updates_are_answered(forge: Callable[[], tuple[Wire, RecordForge]]) -> None:
    wire, records = forge()
    assert wire.deliver(records.key_update(ask_for_one=True) + records.record(b"after")) == b"after"
    wire.client.receive(wire.server.send(b"under new keys"))
    assert wire.client.content == b"under new keys"


@pytest.mark.parametrize("ask_for_one", [True, False])
@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_flood_of_key_updates_is_cut_off(
    forge: Callable[[], tuple[Wire, RecordForge]], ask_for_one: bool, content: bytes
) -> None:
    wire, records = forge()
    updates = 0
    largest_answer = 0
    while wire.server.error is None:
        octets = b"".join(records.key_update(ask_for_one=ask_for_one) for _ in range(50))
        wire.server.receive(octets + (records.record(content) if content else b""))
        wire.check_buffers()
        largest_answer = max(largest_answer, len(wire.server.take_answers()))
        updates += 50
        assert updates <= CONTROL_ALLOWANCE // 27 * 1.1
    assert str(wire.server.error) == "too many octets that carry no content"
    assert largest_answer <= 50 * 27


def test_key_updates_now_and_then_are_no_flood(forge: Callable[[], tuple[Wire, RecordForge]]) -> None:
    wire, records = forge()
    for _ in range(6000):
        wire.deliver(records.key_update(ask_for_one=False) + records.record(b"GET / HTTP/1.1\r\n\r\n"))
    assert wire.server.error is None


def test_records_in_two_segments_each_are_no_flood(forge: Callable[[], tuple[Wire, RecordForge]]) -> None:
    wire, records = forge()
    for _ in range(20_000):
        octets = records.record(b"GET / HTTP/1.1\r\n\r\n")
        wire.deliver(octets[:10])
        wire.deliver(octets[10:])
    assert wire.server.error is None


def test_a_padded_upload_is_no_flood(forge: Callable[[], tuple[Wire, RecordForge]]) -> None:
    wire, records = forge()
    for _ in range(500):
        assert wire.deliver(records.record(bytes(4000), padding=12_000)) == bytes(4000)
    assert wire.server.error is None


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (HANDSHAKE, bytes((1, 0, 0, 0))),
        (HANDSHAKE, bytes((24, 0, 0, 1, 7))),
        (ALERT, bytes((2, 80))),
        (99, b"x"),
        (22, b""),
    ],
    ids=["hello", "bad key update", "fatal alert", "unknown type", "empty handshake"],
)
def test_records_out_of_place_end_the_stream(
    forge: Callable[[], tuple[Wire, RecordForge]], kind: int, content: bytes
) -> None:
    wire, records = forge()
    wire.server.receive(records.record(content, kind))
    wire.check_buffers()
    assert wire.server.error is not None


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(min_size=1, max_size=300), before=st.booleans())
def test_garbage_never_raises_out_of_receive(world: World, octets: bytes, before: bool) -> None:
    wire = world.established()
    good = wire.client.send(b"content") if before else b""
    content = wire.server.receive(good + octets)
    wire.check_buffers()
    assert content in (b"", b"content")
