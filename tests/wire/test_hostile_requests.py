"""Every request of the project's own hostile corpus (tests/wire/hostile), whole and octet by octet."""

import pytest

from tests.fakes.gateway import until
from tests.fakes.hostile import REQUESTS, Case
from tests.fakes.peer import OCTETS, RANDOM, WHOLE, Message, Peer
from tests.fakes.playbook import Play
from tests.fakes.strict_app import StrictApp

LIMITS = 'body = "1KB"\nhead_size = "32KB"\nfields = 100'
#: From here on octets are sent in larger pieces.
LONG = 3000
CLOSING = (400, 405, 414, 417, 431, 505)


def test_there_are_hundreds() -> None:
    assert sum(map(len, REQUESTS.values())) > 600


async def sent(play: Play, case: Case, cut: str) -> tuple[Peer, list[Message]]:
    """Send a case; return the client and its final responses."""
    client = await play.client(RANDOM if cut == OCTETS and len(case.octets) > LONG else cut)
    await client.offer(case.octets)
    statuses = case.expected["statuses"] * case.expected.get("times", 1)
    return client, [await client.response() for _ in statuses]


def check_answers(case: Case, answers: list[Message]) -> None:
    """Compare the answers with what is expected; a good one carries the start line that the app got."""
    statuses = case.expected["statuses"] * case.expected.get("times", 1)
    assert [answer.status for answer in answers] == statuses
    starts = [start for start in case.expected.get("app", ()) for _ in range(case.expected.get("times", 1))]
    assert [answer.content.decode() for answer in answers if answer.status == 200] == starts


def check_app(case: Case, app: StrictApp) -> None:
    """Compare what the app got with what is expected."""
    assert app.faults == []
    starts = [start for start in case.expected.get("app", ()) for _ in range(case.expected.get("times", 1))]
    assert [message.start for message in app.whole] == starts
    if not case.expected.get("unfinished"):
        assert app.unfinished == []
    octets = b"\n".join(app.octets + app.unfinished)
    if not case.expected.get("smuggled_content"):
        assert b"/smuggled" not in octets
    else:
        assert app.whole[0].content.startswith(b"GET /smuggled ")
    assert [text for text in case.texts("seen") if text not in octets] == []
    assert [text for text in case.texts("unseen") if text.lower() in octets.lower()] == []
    if "content" in case.expected:
        assert app.whole[0].content == case.expected["content"].encode()


async def check_end(client: Peer, last: Message) -> None:
    """See that the connection is closed, or that the next request on it is understood as such."""
    assert last.status not in CLOSING or last.one("Connection") == "close"
    if last.one("Connection") == "close":
        assert await client.cut_off() == b""
        return
    await client.send("GET /witness HTTP/1.1", "Host: a.test")
    assert (await client.response()).content == b"GET /witness HTTP/1.1"


async def run(play: Play, app: StrictApp, case: Case, cut: str) -> None:
    """Send one case and look at everything that came of it."""
    app.forget()
    client, answers = await sent(play, case, cut)
    check_answers(case, answers)
    await until(lambda: play.gateway.in_flight == 0)
    await play.turn()
    check_app(case, app)
    await check_end(client, answers[-1])
    client.close()
    await until(lambda: "clients" not in play.gateway.open)


@pytest.mark.parametrize("cut", [WHOLE, OCTETS])
@pytest.mark.parametrize("family", REQUESTS)
async def test_hostile_requests(whole: Play, family: str, cut: str) -> None:
    whole.leaves_cycles = True
    await whole.start(limits=LIMITS)
    wrong = []
    async with StrictApp(whole.app) as app:
        for case in REQUESTS[family]:
            try:
                await run(whole, app, case, cut)
            except (AssertionError, EOFError, OSError, TimeoutError) as error:
                wrong.append(f"{case.name}: {error!r}")
    assert wrong == []
