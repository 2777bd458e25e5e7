"""Responses without a known length, event streams, interim responses and trailers."""

import socket
import uuid

from tests.fakes.front import TIMEOUT, Front


def test_a_stream_of_unknown_length(front: Front) -> None:
    answer = front.ask("GET", "/stream?lines=20000")
    assert answer.all("Content-Length") == []
    assert answer.body == b"".join(b"line %d\n" % number for number in range(20_000))


def test_an_empty_stream(front: Front) -> None:
    with front.connection() as connection:
        assert front.ask("GET", "/stream?lines=0", connection=connection).body == b""
        assert front.ask("GET", "/stream?lines=1", connection=connection).body == b"line 0\n"


def test_events_come_one_by_one(front: Front) -> None:
    """The app sends an event only after the client has published it, so each must come before the next exists."""
    channel = f"/events?channel={uuid.uuid4()}"
    with front.connection() as connection:
        connection.request("GET", channel, headers={"Host": front.authority, "Accept": "text/event-stream"})
        response = connection.getresponse()
        assert response.getheader("Content-Type", "").startswith("text/event-stream")
        assert (response.readline(), response.readline()) == (b": welcome\n", b"\n")
        for number in range(10):
            assert front.ask("POST", channel, body=b"event %d" % number).status == 204
            assert (response.readline(), response.readline()) == (b"data: event %d\n" % number, b"\n")
        assert front.ask("POST", channel, body=b"").status == 204
        assert response.read() == b""


def test_two_event_streams_do_not_mix(front: Front) -> None:
    channels = [f"/events?channel={uuid.uuid4()}" for _ in range(2)]
    with front.connection() as one, front.connection() as other:
        responses = []
        for connection, channel in zip((one, other), channels, strict=True):
            connection.request("GET", channel, headers={"Host": front.authority})
            responses.append(connection.getresponse())
        for channel in channels:
            front.ask("POST", channel, body=channel.encode())
            front.ask("POST", channel, body=b"")
        for response, channel in zip(responses, channels, strict=True):
            assert response.read() == f": welcome\n\ndata: {channel}\n\n".encode()


def raw(front: Front, target: str, *fields: str) -> bytes:
    """Send a request and return all that comes back as it came."""
    head = [f"GET {target} HTTP/1.1", f"Host: {front.authority}", "Connection: close", *fields]
    with socket.create_connection(("127.0.0.1", front.port), timeout=TIMEOUT) as client:
        client.sendall("".join(f"{line}\r\n" for line in (*head, "")).encode())
        return client.makefile("rb").read()


def test_early_hints_pass(node: Front) -> None:
    interim, final = raw(node, "/hints").split(b"\r\n\r\n", 1)
    assert interim.startswith(b"HTTP/1.1 103 Early Hints\r\n")
    assert b"\r\nlink: </style.css>; rel=preload; as=style" in interim.lower()
    assert final.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"after the hints\n" in final


def test_trailers_pass(node: Front) -> None:
    answer = raw(node, "/trailers", "TE: trailers")
    assert b"\r\nf\r\nwith a trailer\n\r\n0\r\n" in answer
    assert answer.lower().endswith(b"\r\nx-digest: abc\r\n\r\n")
