"""One account at one CA: its key, its registration, its contact, and connections in its name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from autocert import account as accounts
from autocert.account import Account
from autocert.budget import Budget
from autocert.clock import Clock
from autocert.contacts import Contacts, contact_of
from autocert.errors import ReplyError, StorageError
from autocert.ledger import Limits, account_charges
from autocert.session import Connect, Session, connect
from autocert.settings import Authority, Settings
from autocert.shelf import Damage
from autocert.storage import Storage
from autocert.threads import Runner

_FOLDER: Final = "accounts"
_MOST_IDLE: Final = 4
# A connection keeps the CA's directory; a CA may move its addresses.
_LONGEST_USE: Final = 3600.0
DISK_SECONDS: Final = 30.0


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
        contacts: Contacts,
    ) -> None:
        self.authority = authority
        self.limits = limits
        self._settings = settings
        self._storage = storage
        self._budget = budget
        self._runner = runner
        self._clock = clock
        self._connect = connect
        self._contacts = contacts
        self._refused_contact: tuple[str, ...] | None = None
        self._account: Account | None = None
        self._lost_uri = ""
        # A new key, or an old one at a CA that has forgotten it: registering it makes a new account.
        self._makes_account = False
        self._changing = asyncio.Lock()
        self._idle: list[Session] = []
        self.damage: list[Damage] = []
        # Contacts that the CA does not accept, for the manager to report and empty.
        self.refusals: list[ReplyError] = []

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
                await self._tell_contact(session, memory_will_do=memory_will_do)
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
            uri = await session.register(self.authority)
            self._account = Account(account.key_pem, uri, contact_of(self.authority))
            await self._runner.run(partial(self._keep, self._account, memory_will_do), DISK_SECONDS)
            return self._account

    async def _tell_contact(self, session: Session, *, memory_will_do: bool) -> None:
        """Have the CA know the configured addresses; ones that it refuses cost no certificate."""
        async with self._changing:
            account, wanted = self._account, self._contacts.of(self.authority)
            if account is None or account.uri != session.account_uri or wanted == self._refused_contact:
                return
            # What an earlier version has told the CA is not known: no address is no reason to ask.
            if wanted == (account.contact or ()):
                return
            try:
                await session.update_contact(wanted)
            except ReplyError as error:
                if error.document.code == "accountDoesNotExist":
                    raise
                self._refused_contact = wanted
                self.refusals.append(error)
                return
            self._account = replace(account, contact=wanted)
            await self._runner.run(partial(self._keep, self._account, memory_will_do), DISK_SECONDS)

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
