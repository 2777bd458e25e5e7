"""One connection to a CA for asyncio: single calls off the event loop, each under a deadline."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from autocert.errors import Unreachable, UnreachableError
from autocert.renewal import Window
from autocert.replies import Authorization, Order
from autocert.settings import Authority
from autocert.threads import LeftBehindError, Runner

T = TypeVar("T")


class Calls(Protocol):
    """The calls of `connection.Connection`, blocking; raise ReplyError and UnreachableError."""

    def allow(self, seconds: float) -> None:
        """Give the next call that much time."""

    def begin(self) -> None:
        """Read the CA's directory."""

    def use_account(self, uri: str) -> None:
        """Sign requests in the name of that account."""

    def register(self, email: str, eab_kid: str, eab_hmac_key: str) -> str:
        """Return the URI of the key's account."""

    def update_contact(self, emails: tuple[str, ...]) -> None:
        """Have the CA know the account by these addresses."""

    def new_order(self, names: tuple[str, ...], profile: str, replaces: str) -> Order:
        """Order a certificate."""

    def order(self, url: str) -> Order:
        """Return the order as it is now."""

    def authorization(self, url: str) -> Authorization:
        """Return the authorization as it is now."""

    def answer(self, challenge_url: str) -> None:
        """Tell the CA to validate."""

    def finalize(self, order: Order, request_der: bytes) -> Order:
        """Hand in the certificate signing request."""

    def download(self, url: str) -> bytes:
        """Return the chain in PEM."""

    def offers_renewal_information(self) -> bool:
        """Tell whether the CA knows of renewal windows."""

    def renewal_information(self, ari_id: str) -> tuple[Window | None, float | None]:
        """Return the suggested window and Retry-After."""

    def caa_identities(self) -> tuple[str, ...]:
        """Return the names by which CAA records allow this CA."""


Connect = Callable[[Authority, EllipticCurvePrivateKey], Calls]


def connect(authority: Authority, key: EllipticCurvePrivateKey) -> Calls:
    """Return a connection; the library that it needs takes 100 ms and more to import, so only now."""
    from autocert.connection import Connection

    return Connection(authority.url, authority.ca_file, key)


class Session:
    """One connection in the hands of one order."""

    def __init__(self, connection: Calls, runner: Runner, seconds: float, born: float) -> None:
        self._connection = connection
        self._runner = runner
        self._seconds = seconds
        self.born = born
        self.account_uri = ""
        # A call that was left behind still uses the connection, so nobody else may.
        self.is_lost = False

    async def begin(self) -> None:
        """Read the CA's directory, which also shows whether the CA answers before anything is counted."""
        await self.call(self._connection.begin)

    async def new_order(self, names: tuple[str, ...], profile: str, replaces: str) -> Order:
        """Order a certificate."""
        return await self.call(partial(self._connection.new_order, names, profile, replaces))

    async def order(self, url: str) -> Order:
        """Return the order as it is now."""
        return await self.call(partial(self._connection.order, url))

    async def authorization(self, url: str) -> Authorization:
        """Return the authorization as it is now."""
        return await self.call(partial(self._connection.authorization, url))

    async def answer(self, challenge_url: str) -> None:
        """Tell the CA to validate."""
        await self.call(partial(self._connection.answer, challenge_url))

    async def finalize(self, order: Order, request_der: bytes) -> Order:
        """Hand in the certificate signing request."""
        return await self.call(partial(self._connection.finalize, order, request_der))

    async def download(self, url: str) -> bytes:
        """Return the chain in PEM."""
        return await self.call(partial(self._connection.download, url))

    async def renewal_information(self, ari_id: str) -> tuple[Window | None, float | None]:
        """Return the suggested window and Retry-After."""
        return await self.call(partial(self._connection.renewal_information, ari_id))

    async def offers_renewal_information(self) -> bool:
        """Tell whether the CA knows of renewal windows, and so of successors of certificates."""
        return await self.call(self._connection.offers_renewal_information)

    async def caa_identities(self) -> tuple[str, ...]:
        """Return the names by which CAA records allow this CA."""
        return await self.call(self._connection.caa_identities)

    async def register(self, authority: Authority) -> str:
        """Return the URI of the key's account."""
        return await self.call(
            partial(self._connection.register, authority.email, authority.eab_kid, authority.eab_hmac_key)
        )

    async def update_contact(self, emails: tuple[str, ...]) -> None:
        """Have the CA know the account by these addresses."""
        await self.call(partial(self._connection.update_contact, emails))

    def use_account(self, uri: str) -> None:
        """Sign requests in the name of that account."""
        self.account_uri = uri
        self._connection.use_account(uri)

    async def call(self, function: Callable[[], T]) -> T:
        """Run one call; raises UnreachableError when it does not end in time."""

        def bounded() -> T:
            self._connection.allow(self._seconds)
            return function()

        # A second more than the call gives itself, so that its own, better error comes first.
        self.is_lost = True
        try:
            result = await self._runner.run(bounded, self._seconds + 1)
        except LeftBehindError as exc:
            raise UnreachableError(Unreachable.SLOW, str(exc)) from exc
        except Exception:
            self.is_lost = False
            raise
        self.is_lost = False
        return result
