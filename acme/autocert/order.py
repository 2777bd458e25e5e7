"""Bring one order to its certificate (RFC 8555 section 7.4), waiting as the CA wishes, never in a thread."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from autocert.clock import Clock
from autocert.errors import (
    OrderLostError,
    ProblemDocument,
    ReplyError,
    Unreachable,
    UnreachableError,
    ValidationError,
)
from autocert.replies import Authorization, Order

# Test CAs are done in milliseconds, public ones in seconds: ask soon at first, then less and less often.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0

# Called before what the CA counts; raises BudgetError when it must not be.
Permission = Callable[[], Awaitable[None]]


class Session(Protocol):
    """The calls of a CA that an order takes; raise ReplyError and UnreachableError."""

    async def new_order(self, names: tuple[str, ...], profile: str, replaces: str) -> Order:
        """Order a certificate."""

    async def order(self, url: str) -> Order:
        """Return the order as it is now."""

    async def authorization(self, url: str) -> Authorization:
        """Return the authorization as it is now."""

    async def answer(self, challenge_url: str) -> None:
        """Tell the CA to validate."""

    async def finalize(self, order: Order, request_der: bytes) -> Order:
        """Hand in the certificate signing request."""

    async def download(self, url: str) -> bytes:
        """Return the chain in PEM."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that the CA has taken; `exempt` when it counts against no limit, as it names what it replaces."""

    order: Order
    exempt: bool


class Patience:
    """The pauses between two questions, and the end of them."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends = clock.steady() + seconds
        self._pause = _FIRST_PAUSE

    def afresh(self) -> None:
        """Begin with short pauses again."""
        self._pause = _FIRST_PAUSE

    async def pause(self, retry_after: float | None) -> None:
        """Wait before the next question; raises UnreachableError when the CA wants more time than there is."""
        seconds = self._pause if retry_after is None else max(retry_after, _FIRST_PAUSE)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if self._clock.steady() + seconds > self._ends:
            words = f"the order is not done after {self._seconds:.0f} s"
            raise UnreachableError(Unreachable.SLOW, words)
        await self._clock.sleep(seconds)


async def place(
    session: Session, names: tuple[str, ...], profile: str, replaces: str, permit_plain: Permission
) -> Placed:
    """Place an order, as the successor of a certificate if it can be, else as any other.

    A CA that refuses the successor may well take a plain order (a 409 has let certificates expire elsewhere).
    """
    if replaces:
        try:
            return Placed(await session.new_order(names, profile, replaces), exempt=True)
        except ReplyError as error:
            if error.document.code == "accountDoesNotExist":
                raise
    await permit_plain()
    return Placed(await session.new_order(names, profile, ""), exempt=False)


async def resume(session: Session, url: str) -> Order:
    """Return an order of an earlier process; raises OrderLostError when nothing can come of it any more."""
    try:
        order = await session.order(url)
    except ReplyError as error:
        if error.document.status >= 500 or error.document.code in {"rateLimited", "accountDoesNotExist"}:
            raise
        raise OrderLostError(str(error)) from error
    if order.status not in {"pending", "ready", "processing", "valid"}:
        raise OrderLostError(f"the order is {order.status}")
    return order


async def complete(
    session: Session, order: Order, request_der: bytes, patience: Patience, permit_certificate: Permission
) -> bytes:
    """Return the certificate chain in PEM of an order.

    Raises ValidationError for the name that could not be validated, ReplyError for an order that failed
    otherwise, UnreachableError when the CA takes too long, BudgetError from `permit_certificate`.
    """
    if order.status == "pending":
        await _validate(session, order, patience)
        order = await _settled(session, order, {"pending"}, patience)
    if order.status == "ready":
        await permit_certificate()
        order = await _finalized(session, order, request_der, patience)
    order = await _settled(session, order, {"processing"}, patience)
    if order.status != "valid" or not order.certificate:
        raise ReplyError(order.error or ProblemDocument("about:blank", f"the order is {order.status}"))
    return await session.download(order.certificate)


async def _finalized(session: Session, order: Order, request_der: bytes, patience: Patience) -> Order:
    patience.afresh()
    while order.status == "ready":
        try:
            order = await session.finalize(order, request_der)
        except ReplyError as error:
            # A CA of several machines may not know yet what one of them has just told us.
            if error.document.code != "orderNotReady":
                raise
            await patience.pause(error.retry_after)
            order = await session.order(order.url)
        else:
            if order.status == "ready":
                await patience.pause(order.retry_after)
    return order


async def _settled(session: Session, order: Order, passing: set[str], patience: Patience) -> Order:
    patience.afresh()
    retry_after = order.retry_after
    while order.status in passing:
        await patience.pause(retry_after)
        order = await session.order(order.url)
        retry_after = order.retry_after
    return order


async def _validate(session: Session, order: Order, patience: Patience) -> None:
    """Have every name validated: all challenges are answered first, so that the CA works on them at once."""
    pending: list[Authorization] = []
    for url in order.authorizations:
        authorization = await session.authorization(url)
        if authorization.status == "pending":
            if not authorization.challenge:
                words = f"the CA offers no http-01 challenge for {authorization.name}"
                raise ReplyError(ProblemDocument("about:blank", words))
            if authorization.challenge_status == "pending":
                await session.answer(authorization.challenge)
            pending.append(authorization)
        else:
            _check_valid(authorization)
    for authorization in pending:
        patience.afresh()
        current = authorization
        while current.status == "pending":
            await patience.pause(current.retry_after if current is not authorization else None)
            current = await session.authorization(authorization.url)
        _check_valid(current)


def _check_valid(authorization: Authorization) -> None:
    if authorization.status == "valid":
        return
    words = f"the authorization is {authorization.status}"
    document = authorization.error or ProblemDocument("about:blank", words)
    raise ValidationError(authorization.name, document, authorization.retry_after)
