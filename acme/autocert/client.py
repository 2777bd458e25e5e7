"""One account at one CA, for asyncio: registration, and single calls off the event loop under a deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from autocert import account as accounts
from autocert.account import Account
from autocert.budget import Budget
from autocert.clock import Clock
from autocert.errors import StorageError, Unreachable, UnreachableError
from autocert.ledger import Limits, account_charges
from autocert.renewal import Window
from autocert.replies import Authorization, Order
from autocert.settings import Authority, Settings
from autocert.shelf import Damage
from autocert.storage import Storage
from autocert.threads import LeftBehindError, Runner

T = TypeVar("T")

_FOLDER: Final = "accounts"
_MOST_IDLE: Final = 4
# A connection keeps the CA's directory; a CA may move its addresses.
_LONGEST_USE: Final = 3600.0
DISK_SECONDS: Final = 30.0


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


class Client:
    """One account at one CA; `limits` is the budget there."""

    def __init__(
        self,
        authority: Authority,
        settings: Settings,
        limits: Limits,
        *,
        storage: Storage,
        budget: Budget,
        runner: Runner,
        clock: Clock,
        connect: Connect = connect,
    ) -> None:
        self.authority = authority
        self.limits = limits
        self._settings = settings
        self._storage = storage
        self._budget = budget
        self._runner = runner
        self._clock = clock
        self._connect = connect
        self._account: Account | None = None
        self._lost_uri = ""
        # A new key, or an old one at a CA that has forgotten it: registering it makes a new account.
        self._makes_account = False
        self._changing = asyncio.Lock()
        self._idle: list[Session] = []
        self.damage: list[Damage] = []

    async def account(self, *, memory_will_do: bool = False) -> Account:
        """Return the account, perhaps not registered yet; its key is kept before the CA hears of it."""
        async with self._changing:
            if self._account is None:
                self._account = await self._runner.run(partial(self._open, memory_will_do), DISK_SECONDS)
            return self._account

    @asynccontextmanager
    async def session(
        self, *, memory_will_do: bool = False, registered: bool = True
    ) -> AsyncIterator[Session]:
        """Give a connection for one order, in the name of the registered account unless told otherwise."""
        account = await self.account(memory_will_do=memory_will_do)
        session = await self._connected(account)
        try:
            await session.begin()
            if registered:
                account = await self._registered(session, memory_will_do=memory_will_do)
                session.use_account(account.uri)
            yield session
        finally:
            is_fresh = self._clock.steady() - session.born < _LONGEST_USE
            if not session.is_lost and is_fresh and len(self._idle) < _MOST_IDLE:
                self._idle.append(session)

    async def forget_registration(self, uri: str) -> None:
        """Register again next time: the CA says that it does not know the account (its directory was reset)."""
        async with self._changing:
            if self._account is not None and self._account.uri == uri:
                self._account = Account(self._account.key_pem)
                self._lost_uri = uri
                self._makes_account = True

    async def _connected(self, account: Account) -> Session:
        while self._idle:
            session = self._idle.pop()
            if self._clock.steady() - session.born < _LONGEST_USE:
                return session
        make = partial(self._connect, self.authority, account.key)
        connection = await self._runner.run(make, self._settings.call_seconds)
        return Session(connection, self._runner, self._settings.call_seconds, self._clock.steady())

    async def _registered(self, session: Session, *, memory_will_do: bool) -> Account:
        account = await self.account(memory_will_do=memory_will_do)
        async with self._changing:
            if self._account is not None and self._account.uri:
                return self._account
            stored = await self._runner.run(self._stored, DISK_SECONDS)
            if (
                stored is not None
                and stored.key_pem == account.key_pem
                and stored.uri not in {"", self._lost_uri}
            ):
                # Another process on this storage was faster.
                self._account = stored
                return stored
            if self._makes_account:
                charges = account_charges(self.authority.url, self.limits)
                spend = partial(self._budget.spend, charges, memory_will_do=memory_will_do)
                await self._runner.run(spend, DISK_SECONDS)
                self._makes_account = False
            self._account = Account(account.key_pem, await session.register(self.authority))
            await self._runner.run(partial(self._keep, self._account, memory_will_do), DISK_SECONDS)
            return self._account

    def _open(self, memory_will_do: bool) -> Account:
        account = self._stored()
        if account is not None:
            return account
        try:
            with self._storage.locked(f"{self.authority.folder}~"):
                account = self._stored()
                if account is None:
                    account = self._new_account()
                    self._keep(account, memory_will_do)
                return account
        except StorageError:
            if not memory_will_do:
                raise
            return self._new_account()

    def _new_account(self) -> Account:
        self._makes_account = True
        return accounts.new_account()

    def _stored(self) -> Account | None:
        path = (_FOLDER, self.authority.folder)
        found = self._storage.load_document(accounts.unsealed, self._clock.wall(), *path)
        self.damage += found.damage
        return found.value

    def _keep(self, account: Account, memory_will_do: bool) -> None:
        path = (_FOLDER, self.authority.folder)
        try:
            self._storage.save_document(account.sealed(), accounts.unsealed, self._clock.wall(), *path)
        except StorageError:
            if not memory_will_do:
                raise
