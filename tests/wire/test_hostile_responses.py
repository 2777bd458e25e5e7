"""Every response of the project's own hostile corpus (tests/wire/hostile), whole and octet by octet."""

import pytest

from tests.fakes.gateway import until
from tests.fakes.hostile import RESPONSES, Case
from tests.fakes.peer import OCTETS, RANDOM, WHOLE, Message, Peer
from tests.fakes.playbook import Play

#: From here on octets are sent in larger pieces.
LONG = 3000


def test_there_are_many() -> None:
    assert sum(map(len, RESPONSES.values())) > 150


async def answered(client: Peer, to: str) -> Message | None:
    """Receive the final response after interim ones, or None if it is recognisably cut short."""
    try:
        return await client.final_response(to=to)
    except (EOFError, ConnectionResetError):
        return None


async def check_next(play: Play, client: Peer, app: Peer, case: Case) -> None:
    """See that the next request is answered by the app alone, over a connection that is not in doubt."""
    reused = case.expected.get("reused", False)
    if not reused and case.expected.get("then") != "end":
        await app.cut_off()
    await client.send("GET /witness HTTP/1.1", "Host: a.test")
    again = app if reused else await play.app.accept()
    assert (await again.request()).target == "/witness"
    await again.send("HTTP/1.1 200 OK", "Content-Length: 7", content=b"witness")
    assert (await client.response()).content == b"witness"
    again.close()


async def run(play: Play, case: Case, cut: str) -> None:
    """Let the app answer with one case and look at everything that comes of it."""
    to = case.expected.get("to", "GET")
    client = await play.client()
    await client.send(f"{to} / HTTP/1.1", "Host: a.test")
    app = play.peer(
        await play.app.accept_socket(), RANDOM if cut == OCTETS and len(case.octets) > LONG else cut
    )
    await app.request()
    await app.offer(case.octets)
    if case.expected.get("then") == "end":
        app.close()
    response = await answered(client, to)
    if case.expected["outcome"] == "whole":
        assert response is not None
        assert response.content == case.expected["content"].encode()
    elif case.expected["outcome"] == "502" or response is not None:
        assert response is not None
        assert response.status == 502
        assert response.one("Proxy-Status") is not None
    text = "" if response is None else "\n".join((response.start, *response.lines, *response.trailers))
    assert [unseen for unseen in case.expected.get("unseen", ()) if unseen.lower() in text.lower()] == []
    if response is None:
        client.close()
        client = await play.client()
    await check_next(play, client, app, case)
    client.close()
    await until(lambda: play.gateway.open == {})


@pytest.mark.parametrize("cut", [WHOLE, OCTETS])
@pytest.mark.parametrize("family", RESPONSES)
async def test_hostile_responses(whole: Play, family: str, cut: str) -> None:
    whole.leaves_cycles = True
    await whole.start()
    wrong = []
    for case in RESPONSES[family]:
        try:
            await run(whole, case, cut)
        except (AssertionError, EOFError, OSError, TimeoutError) as error:
            wrong.append(f"{case.name}: {error!r}")
            for sock in whole.app.waiting():
                sock.close()
    assert wrong == []
