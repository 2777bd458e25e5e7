"""Connections from peers that must speak the PROXY protocol: who the client is then, and what ends them."""

import pytest

from proxy.telemetry import counters
from tests.fakes.peer import Message
from tests.fakes.playbook import Play
from tests.fakes.warped_loop import pass_time

LISTED = 'proxy_protocol = ["127.0.0.0/8"]'
OTHERS = 'proxy_protocol = ["192.0.2.0/24"]'
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n"
V1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = bytes((198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80))
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + ADDRESSES
V2_LONG = SIGNATURE + b"\x21\x11\x00\x16" + ADDRESSES + b"\x20\x00\x02ok" + b"\x04\x00\x02\0\0"
V2_IPV6 = (
    SIGNATURE + b"\x21\x21\x00\x24" + bytes.fromhex("20010db8" + "00" * 11 + "07") * 2 + b"\x12\x67\0\x50"
)
V2_MAPPED = (
    SIGNATURE + b"\x21\x21\x00\x24" + (bytes(10) + b"\xff\xff\xc6\x33\x64\x07") * 2 + b"\x12\x67\0\x50"
)
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


async def asked(play: Play, octets: bytes) -> Message:
    """Send these octets on a new connection and return the request that the app gets."""
    client = await play.client()
    await client.send_octets(octets)
    app = await play.app.accept()
    request = await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    return request


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (V1, "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 4711 80\r\n", "198.51.100.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2, "198.51.100.7"),
        (V2_LONG, "198.51.100.7"),
        (V2_IPV6, "2001:db8::7"),
        (V2_MAPPED, "198.51.100.7"),
        (LOCAL, "127.0.0.1"),
    ],
)
async def test_the_header_names_the_client(play: Play, header: bytes, address: str) -> None:
    await play.start(server=LISTED)
    request = await asked(play, header + GET + b"X-Forwarded-For: 203.0.113.9\r\n\r\n")
    assert request.one("X-Forwarded-For") == address
    assert request.one("X-Real-IP") == address
    assert play.gateway.log[-1]["client"] == address


@pytest.mark.parametrize(
    "octets",
    [
        GET + b"\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\n" + GET + b"\r\n",
        b"PROXY TCP4 198.51.100.999 192.0.2.1 4711 80\r\n" + GET + b"\r\n",
        b"PROXY TCP4 127.1 192.0.2.1 4711 80\r\n" + GET + b"\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x31\x11\x00\x0c" + ADDRESSES + GET + b"\r\n",
        SIGNATURE + b"\x21\x11\x00\x08" + ADDRESSES[:8] + GET + b"\r\n",
        SIGNATURE + b"\x21\x11\xff\xff" + ADDRESSES + GET + b"\r\n",
        SIGNATURE + b"\x21\x11\x00\x0f" + ADDRESSES + b"\x20\xff\xff" + GET + b"\r\n",
        b"\x16\x03\x01\x00\xf4",
    ],
)
async def test_a_listed_peer_that_sends_something_else_is_cut_off(play: Play, octets: bytes) -> None:
    await play.start(server=LISTED)
    client = await play.client()
    await client.offer(octets)
    assert await client.cut_off() == b""
    assert play.app.nobody_came()
    assert play.gateway.told(counters.PROXY_PROTOCOL_ERRORS) == 1
    assert play.gateway.log == []


async def test_a_second_header_is_no_request(play: Play) -> None:
    """A client behind the listed peer cannot name another address by sending a header of its own."""
    await play.start(server=LISTED)
    client = await play.client()
    await client.offer(V1 + b"PROXY TCP4 203.0.113.9 192.0.2.1 1 80\r\n" + GET + b"\r\n")
    assert (await client.response()).status == 400
    await client.cut_off()
    assert play.app.nobody_came()
    assert play.gateway.log[-1]["client"] == "198.51.100.7"


@pytest.mark.parametrize("header", [V1, V2])
async def test_other_peers_have_no_say(play: Play, header: bytes) -> None:
    await play.start(server=OTHERS)
    client = await play.client()
    await client.offer(header + GET + b"\r\n")
    assert (await client.response()).status == 400
    await client.cut_off()
    assert play.app.nobody_came()
    assert play.gateway.log[-1]["client"] == "127.0.0.1"


async def test_other_peers_are_served_without_a_header(play: Play) -> None:
    await play.start(server=OTHERS)
    assert (await asked(play, GET + b"\r\n")).one("X-Forwarded-For") == "127.0.0.1"


async def test_a_header_that_does_not_come_in_time_ends_the_connection(warped: Play) -> None:
    await warped.start(server=LISTED)
    silent, slow = await warped.client(), await warped.client()
    await slow.send_octets(V1[:20])
    await pass_time(4)
    await slow.send_octets(V1[20:30])
    await pass_time(2)
    assert await silent.cut_off() == b""
    assert await slow.cut_off() == b""
    assert warped.gateway.told(counters.PROXY_PROTOCOL_ERRORS) == 2


async def test_who_leaves_before_the_header_is_whole_leaves_nothing_behind(play: Play) -> None:
    await play.start(server=LISTED)
    client = await play.client()
    await client.send_octets(V1[:20])
    client.shut_down()
    assert await client.cut_off() == b""


@pytest.mark.parametrize(
    ("tables", "status"),
    [
        ({"firewall": 'deny = ["198.51.100.0/24"]'}, 403),
        ({"firewall": 'deny = ["127.0.0.0/8"]'}, 308),
        ({"firewall": 'allow = ["198.51.100.7"]'}, 308),
    ],
)
async def test_rules_hold_for_whom_the_header_names(play: Play, tables: dict[str, str], status: int) -> None:
    await play.start(server=LISTED, site='redirect = "https://new.test"\n', **tables)
    client = await play.client()
    await client.send_octets(V1 + GET + b"\r\n")
    assert (await client.response()).status == status


async def test_clients_behind_one_listed_peer_have_a_bucket_each(play: Play) -> None:
    await play.start(
        server=LISTED, site='redirect = "https://new.test"\nrate_limit = {rate = "1/h", burst = 1}\n'
    )
    statuses = []
    for last in (7, 8, 7, 9, 8):
        client = await play.client()
        await client.send_octets(V1.replace(b".7 ", b".%d " % last) + GET + b"\r\n")
        statuses.append((await client.response()).status)
    assert statuses == [308, 308, 429, 308, 429]


async def test_all_addresses_of_a_network_share_a_bucket(play: Play) -> None:
    """And so do all spellings of an address."""
    await play.start(
        server=LISTED, site='redirect = "https://new.test"\nrate_limit = {rate = "1/h", burst = 1}\n'
    )
    statuses = []
    for source in (
        b"2001:db8:0:1::1",
        b"2001:db8:0:1:ffff::2",
        b"2001:DB8::1:0:0:0:1",
        b"2001:db8:0:2::1",
        b"2002:c633:6407::1",
        b"2002:c633:6407:ffff::1",
        b"::ffff:198.51.100.7",
        b"::ffff:c633:6407",
    ):
        client = await play.client()
        await client.send_octets(b"PROXY TCP6 %s ::1 1 80\r\n%s\r\n" % (source, GET))
        statuses.append((await client.response()).status)
    client = await play.client()
    await client.send_octets(V1 + GET + b"\r\n")
    statuses.append((await client.response()).status)
    assert statuses == [308, 429, 429, 308, 308, 429, 308, 429, 429]


async def test_whom_the_header_names_may_be_a_trusted_proxy(play: Play) -> None:
    await play.start(server=LISTED, client_ip='trusted = ["198.51.100.7"]')
    request = await asked(play, V1 + GET + b"X-Forwarded-For: 203.0.113.1, 203.0.113.9\r\n\r\n")
    assert request.one("X-Real-IP") == "203.0.113.9"


async def test_the_listed_peer_itself_is_not_trusted_for_that(play: Play) -> None:
    """Trust goes by the address that the header names: the peer only carries octets."""
    await play.start(server=LISTED, client_ip='trusted = ["127.0.0.0/8"]')
    request = await asked(play, V1 + GET + b"X-Forwarded-For: 203.0.113.9\r\n\r\n")
    assert request.one("X-Real-IP") == "198.51.100.7"
