"""The state machine of an order, against a session that is a script."""

from collections import defaultdict
from typing import Any

import pytest

from autocert.errors import OrderLostError, ProblemDocument, ReplyError, UnreachableError, ValidationError
from autocert.order import Patience, complete, place, resume
from autocert.replies import Authorization, Order
from tests.fakes.autocert_world import ManualClock

Answer = Order | Authorization | bytes | Exception | None


def order(status: str, retry_after: float | None = None, error: ProblemDocument | None = None) -> Order:
    return Order(
        url="order/1",
        status=status,
        authorizations=("authorization/1",),
        finalize="finalize/1",
        certificate="certificate/1" if status == "valid" else "",
        error=error,
        retry_after=retry_after,
    )


def authorization(status: str, **changes: Any) -> Authorization:
    fields: dict[str, Any] = {
        "url": "authorization/1",
        "name": "a.example.com",
        "status": status,
        "challenge": "challenge/1",
        "challenge_status": status,
        "error": None,
        "retry_after": None,
    }
    return Authorization(**{**fields, **changes})


class AutoClock(ManualClock):
    """A clock on which every sleep passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._move_to(self._steady + seconds)


class Script:
    """A session that gives prepared answers by kind, the last of a kind again and again."""

    def __init__(self, **answers: list[Answer]) -> None:
        self._answers = answers
        self.calls: dict[str, list[Any]] = defaultdict(list)

    def _next(self, kind: str, *given: Any) -> Any:
        self.calls[kind].append(given)
        answers = self._answers[kind]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def new_order(self, names: tuple[str, ...], profile: str, replaces: str) -> Order:
        found: Order = self._next("new_order", names, profile, replaces)
        return found

    async def order(self, url: str) -> Order:
        found: Order = self._next("order", url)
        return found

    async def authorization(self, url: str) -> Authorization:
        found: Authorization = self._next("authorization", url)
        return found

    async def answer(self, challenge_url: str) -> None:
        self.calls["answer"].append(challenge_url)

    async def finalize(self, order: Order, request_der: bytes) -> Order:
        found: Order = self._next("finalize", order, request_der)
        return found

    async def download(self, url: str) -> bytes:
        found: bytes = self._next("download", url)
        return found


async def permit() -> None:
    return


async def run(script: Script, start: Order, clock: AutoClock | None = None, seconds: float = 300.0) -> bytes:
    return await complete(script, start, b"csr", Patience(clock or AutoClock(), seconds), permit)


async def test_the_whole_way() -> None:
    script = Script(
        authorization=[authorization("pending"), authorization("pending"), authorization("valid")],
        order=[order("pending"), order("ready"), order("processing"), order("valid")],
        finalize=[order("processing")],
        download=[b"chain"],
    )
    assert await run(script, order("pending")) == b"chain"
    assert script.calls["answer"] == ["challenge/1"]
    assert len(script.calls["finalize"]) == 1


async def test_a_valid_authorization_is_not_asked_for_again() -> None:
    script = Script(
        authorization=[authorization("valid")],
        order=[order("ready")],
        finalize=[order("valid")],
        download=[b"chain"],
    )
    await run(script, order("pending"))
    assert script.calls["answer"] == []


async def test_a_challenge_that_is_being_processed_is_not_answered_again() -> None:
    script = Script(
        authorization=[authorization("pending", challenge_status="processing"), authorization("valid")],
        order=[order("ready")],
        finalize=[order("valid")],
        download=[b"chain"],
    )
    await run(script, order("pending"))
    assert script.calls["answer"] == []


async def test_retry_after_is_honoured_while_polling() -> None:
    clock = AutoClock()
    script = Script(
        authorization=[
            authorization("pending"),
            authorization("pending", retry_after=7.0),
            authorization("valid"),
        ],
        order=[order("ready")],
        finalize=[order("processing", retry_after=11.0)],
        download=[b"chain"],
    )
    script._answers["order"] = [order("ready"), order("processing", retry_after=3.0), order("valid")]
    await run(script, order("pending"), clock)
    assert {7.0, 11.0, 3.0} <= set(clock.slept)


async def test_pauses_grow_and_stay_bounded() -> None:
    clock = AutoClock()
    script = Script(order=[*[order("processing")] * 12, order("valid")], download=[b"chain"])
    await run(script, order("processing"), clock)
    assert clock.slept[:3] == [0.05, 0.1, 0.2]
    assert max(clock.slept) == 5.0


async def test_a_retry_after_of_zero_does_not_spin() -> None:
    clock = AutoClock()
    script = Script(order=[*[order("processing", retry_after=0.0)] * 3, order("valid")], download=[b"chain"])
    await run(script, order("processing", retry_after=0.0), clock)
    assert min(clock.slept) >= 0.05


async def test_an_order_that_never_ends_is_left() -> None:
    with pytest.raises(UnreachableError, match="300 s"):
        await run(Script(order=[order("processing")]), order("processing"))


async def test_more_patience_than_there_is_left_ends_it_at_once() -> None:
    clock = AutoClock()
    with pytest.raises(UnreachableError):
        await run(Script(order=[order("processing")]), order("processing", retry_after=9999.0), clock)
    assert clock.slept == []


async def test_a_failed_validation_names_the_name_and_the_reason() -> None:
    reason = ProblemDocument("urn:ietf:params:acme:error:connection", "refused")
    script = Script(authorization=[authorization("pending"), authorization("invalid", error=reason)])
    with pytest.raises(ValidationError) as caught:
        await run(script, order("pending"))
    assert (caught.value.name, caught.value.document) == ("a.example.com", reason)


@pytest.mark.parametrize("status", ["invalid", "deactivated", "expired", "revoked"])
async def test_every_other_end_of_an_authorization_fails(status: str) -> None:
    with pytest.raises(ValidationError, match=status):
        await run(Script(authorization=[authorization(status)]), order("pending"))


async def test_a_ca_without_http01_is_said_so() -> None:
    with pytest.raises(ReplyError, match="no http-01"):
        await run(Script(authorization=[authorization("pending", challenge="")]), order("pending"))


async def test_not_ready_yet_is_waited_for() -> None:
    late = ReplyError(ProblemDocument("urn:ietf:params:acme:error:orderNotReady", "", 403), 2.0)
    clock = AutoClock()
    script = Script(finalize=[late, late, order("valid")], order=[order("ready")], download=[b"chain"])
    assert await run(script, order("ready"), clock) == b"chain"
    assert clock.slept == [2.0, 2.0]


async def test_a_ca_that_stays_ready_is_not_asked_without_pause() -> None:
    clock = AutoClock()
    with pytest.raises(UnreachableError):
        await run(Script(finalize=[order("ready")]), order("ready"), clock)
    assert sum(clock.slept) > 290


async def test_the_budget_is_asked_once_before_the_certificate() -> None:
    asked: list[int] = []

    async def refuse() -> None:
        asked.append(1)
        raise LookupError("no budget")

    script = Script(finalize=[order("valid")])
    with pytest.raises(LookupError):
        await complete(script, order("ready"), b"csr", Patience(AutoClock(), 300), refuse)
    assert (len(asked), script.calls["finalize"]) == (1, [])


async def test_an_order_that_failed_says_why() -> None:
    reason = ProblemDocument("urn:ietf:params:acme:error:caa", "forbidden")
    with pytest.raises(ReplyError) as caught:
        await run(Script(order=[order("invalid", error=reason)]), order("processing"))
    assert caught.value.document == reason
    with pytest.raises(ReplyError, match="the order is invalid"):
        await run(Script(order=[order("invalid")]), order("processing"))


async def test_a_successor_is_ordered_as_one_and_counts_nothing() -> None:
    script = Script(new_order=[order("pending")])

    async def never() -> None:
        raise AssertionError

    placed = await place(script, ("a",), "p", "aki.serial", never)
    assert placed.exempt
    assert script.calls["new_order"] == [(("a",), "p", "aki.serial")]


@pytest.mark.parametrize(
    ("code", "status"),
    [("alreadyReplaced", 409), ("malformed", 400), ("conflict", 409), ("serverInternal", 500)],
)
async def test_a_refused_successor_is_ordered_as_any_other(code: str, status: int) -> None:
    """A 409 to the successor has once let certificates expire elsewhere (certmagic #361)."""
    refused = ReplyError(ProblemDocument(f"urn:ietf:params:acme:error:{code}", "", status))
    script = Script(new_order=[refused, order("pending")])
    placed = await place(script, ("a",), "p", "aki.serial", permit)
    assert not placed.exempt
    assert [call[2] for call in script.calls["new_order"]] == ["aki.serial", ""]


async def test_an_unknown_account_is_not_the_successor_s_fault() -> None:
    lost = ReplyError(ProblemDocument("urn:ietf:params:acme:error:accountDoesNotExist", "", 400))
    script = Script(new_order=[lost])
    with pytest.raises(ReplyError):
        await place(script, ("a",), "", "aki.serial", permit)
    assert len(script.calls["new_order"]) == 1


@pytest.mark.parametrize("status", ["pending", "ready", "processing", "valid"])
async def test_an_order_under_way_is_gone_on_with(status: str) -> None:
    assert (await resume(Script(order=[order(status)]), "order/1")).status == status


@pytest.mark.parametrize(
    "answer", [order("invalid"), ReplyError(ProblemDocument("urn:ietf:params:acme:error:malformed", "", 404))]
)
async def test_an_order_of_which_nothing_can_come_is_lost(answer: Answer) -> None:
    with pytest.raises(OrderLostError):
        await resume(Script(order=[answer]), "order/1")


@pytest.mark.parametrize(
    "document",
    [
        ProblemDocument("about:blank", "", 503),
        ProblemDocument("urn:ietf:params:acme:error:rateLimited", "", 429),
        ProblemDocument("urn:ietf:params:acme:error:accountDoesNotExist", "", 400),
    ],
)
async def test_a_ca_in_trouble_does_not_lose_an_order(document: ProblemDocument) -> None:
    with pytest.raises(ReplyError):
        await resume(Script(order=[ReplyError(document)]), "order/1")
