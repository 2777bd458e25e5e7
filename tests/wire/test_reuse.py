"""Which connections to the app are used again, and what is sent twice (RFC 9110 section 9.2.2)."""

import asyncio

import pytest

from proxy.telemetry import counters
from tests.fakes.gateway import until
from tests.fakes.playbook import Play


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "QUERY"])
async def test_an_idempotent_request_goes_out_again_when_a_kept_connection_was_closed(
    play: Play, method: str
) -> None:
    client, app = await play.both()
    await client.send(f"{method} /again HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/again"
    app.close()
    again = await play.app.accept()
    assert (await again.request()).start == f"{method} /again HTTP/1.1"
    await again.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response(to=method)).status == 200
    (_, line) = play.gateway.log
    assert line["retries"] == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK", "MKCOL", "OWN"])
async def test_any_other_request_never_goes_out_twice(play: Play, method: str) -> None:
    client, app = await play.both()
    await client.send(f"{method} /once HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/once"
    app.close()
    assert (await client.response()).status == 502
    assert play.app.nobody_came()


async def test_an_idempotent_request_whose_content_was_sent_never_goes_out_twice(play: Play) -> None:
    client, app = await play.both()
    await client.send("PUT /once HTTP/1.1", "Host: a.test", "Content-Length: 2", content=b"ok")
    assert (await app.request()).content == b"ok"
    app.close()
    assert (await client.response()).status == 502
    assert play.app.nobody_came()


async def test_content_that_nobody_got_goes_out_on_the_second_connection(play: Play) -> None:
    client, app = await play.both()
    await client.send("PUT /again HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    await app.head()
    app.close()
    again = await play.app.accept()
    await again.head()
    await client.send_chunks(b"content", b"")
    assert await again.chunk() == b"content"[:1] or play.cut != "octet by octet"
    await again.until(b"0\r\n\r\n")
    await again.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_nothing_goes_out_again_after_the_first_octet_of_a_response(play: Play) -> None:
    client, app = await play.both()
    await client.send("GET /once HTTP/1.1", "Host: a.test")
    await app.request()
    await app.send_octets(b"H")
    app.close()
    assert (await client.response()).status == 502
    assert play.app.nobody_came()


async def test_nothing_goes_out_a_third_time(play: Play) -> None:
    client, app = await play.both()
    await client.send("GET /twice HTTP/1.1", "Host: a.test")
    await app.request()
    app.close()
    again = await play.app.accept()
    await again.request()
    again.close()
    assert (await client.response()).status == 502
    assert play.app.nobody_came()


async def test_a_fresh_connection_that_closes_is_no_reason_to_send_again(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    app.close()
    assert (await client.response()).status == 502
    assert play.app.nobody_came()


async def test_a_kept_connection_that_the_app_closed_meanwhile_is_not_used(play: Play) -> None:
    client, app = await play.both()
    app.close()
    await until(lambda: "apps" not in play.gateway.open)
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 2", content=b"ok")
    again = await play.app.accept()
    assert (await again.request()).content == b"ok"
    await again.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_clients_share_connections_one_after_the_other_never_at_once(play: Play) -> None:
    first, app = await play.both()
    second = await play.client()
    await first.send("GET /1 HTTP/1.1", "Host: a.test")
    await app.request()
    await second.send("GET /2 HTTP/1.1", "Host: a.test")
    other = await play.app.accept()
    assert (await other.request()).target == "/2"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 1", content=b"1")
    assert (await first.response()).content == b"1"
    await second.send("GET /3 HTTP/1.1", "Host: a.test")
    await other.send("HTTP/1.1 200 OK", "Content-Length: 1", content=b"2")
    assert (await second.response()).content == b"2"
    assert (await other.request()).target == "/3"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refused_connection_is_tried_at_the_next_address(play: Play, method: str) -> None:
    await play.start(site=f'upstream = ["{play.url}", {{url = "{play.spare_url}", backup = true}}]')
    play.app.close()
    client = await play.client()
    await client.send(f"{method} / HTTP/1.1", "Host: a.test", "Content-Length: 2", content=b"ok")
    spare = await play.spare.accept()
    assert (await spare.request()).content == b"ok"
    await spare.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    (line,) = play.gateway.log
    assert (line["retries"], line["upstream"]) == (1, f"127.0.0.1:{play.spare.port}")


async def test_each_address_is_tried_once_and_the_answer_comes_at_once(play: Play) -> None:
    await play.start(site=f'upstream = ["{play.url}", "{play.spare_url}"]')
    play.app.close()
    play.spare.close()
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    response = await client.response()
    assert (response.status, response.one("Proxy-Status")) == (502, "foregate; error=connection_refused")
    (line,) = play.gateway.log
    assert (line["retries"], line["error"]) == (1, "refused")
    assert play.gateway.told_of_site(counters.RETRIES) == 1


async def test_a_failed_request_is_not_sent_to_the_next_address(play: Play) -> None:
    await play.start(site=f'upstream = ["{play.url}", {{url = "{play.spare_url}", backup = true}}]')
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    app.close()
    assert (await client.response()).status == 502
    assert play.spare.nobody_came()


async def test_an_app_that_comes_back_is_found(play: Play) -> None:
    client = await play.client()
    for _ in range(5):
        await client.send("GET / HTTP/1.1", "Host: a.test")
        app = await play.app.accept()
        await app.request()
        app.close()
        assert (await client.response()).status == 502
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_an_authority_file_that_is_gone_is_the_apps_failure_not_ours(play: Play) -> None:
    await play.start(
        site=f'upstream = "https://127.0.0.1:{play.app.port}"\nupstream_ca_file = "/nowhere/ca.pem"'
    )
    client = await play.client()
    for _ in range(2):
        await client.send("GET / HTTP/1.1", "Host: a.test")
        response = await client.response()
        assert (response.status, response.one("Proxy-Status")) == (
            502,
            "foregate; error=tls_certificate_error",
        )
        assert b"/nowhere" not in response.content


async def test_a_client_that_leaves_at_any_moment_of_connecting_costs_no_place_in_the_pool(
    whole: Play,
) -> None:
    whole.leaves_cycles = True
    await whole.client()
    for moment in range(20):
        client = await whole.client()
        client.sock.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        for _ in range(moment):
            await asyncio.sleep(0)
        client.reset()
        await until(lambda: whole.gateway.open == {"clients": 1})
        for app in whole.app.waiting():
            app.close()
