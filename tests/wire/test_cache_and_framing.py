"""What the framing of a response means for the cache: nothing that is not whole is ever anybody else's."""

import pytest

from tests.fakes.peer import Peer
from tests.fakes.playbook import Play

HELLO = ("HTTP/1.1 200 OK", "Content-Length: 5")


async def asked(play: Play, method: str = "GET") -> tuple[Peer, Peer]:
    """Return a client that has asked for the page, and the app's end, where the request has arrived."""
    client = await play.client()
    await client.send(f"{method} /page HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    assert (await app.request()).start == f"{method} /page HTTP/1.1"
    return client, app


async def kept(play: Play, method: str, content: bytes) -> None:
    """Ask once more: with the cache on the app is not needed for it."""
    client = await play.client()
    await client.send(f"{method} /page HTTP/1.1", "Host: a.test")
    response = await client.response(to=method)
    assert (response.one("Content-Length"), response.content) == ("5", content)
    assert play.app.nobody_came()


@pytest.mark.parametrize("ending", ["end", "reset"])
@pytest.mark.parametrize(
    ("framing", "octets"),
    [
        ("Content-Length: 10", b"hello"),
        ("Content-Length: 9000", b"x" * 8999),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n"),
    ],
    ids=["half", "all but one octet", "no last chunk", "half a last chunk"],
)
async def test_an_answer_that_is_cut_off_is_nobody_elses(
    play: Play, framing: str, octets: bytes, ending: str
) -> None:
    for _ in range(2):
        client, app = await asked(play)
        await app.send("HTTP/1.1 200 OK", "Cache-Control: max-age=60", framing, content=octets)
        await client.head()
        if ending == "end":
            app.close()
        else:
            app.reset()
        await client.cut_off()
    client, app = await asked(play)
    await app.send(*HELLO, content=b"hello")
    assert (await client.response()).content == b"hello"
    if play.cached:
        await kept(play, "GET", b"hello")


async def test_a_get_is_not_given_the_emptiness_of_a_head(play: Play) -> None:
    client, app = await asked(play, "HEAD")
    await app.send(*HELLO)
    assert (await client.response(to="HEAD")).one("Content-Length") == "5"
    app.close()
    client, app = await asked(play)
    await app.send(*HELLO, content=b"hello")
    assert (await client.response()).content == b"hello"
    if play.cached:
        await kept(play, "HEAD", b"")
        await kept(play, "GET", b"hello")
