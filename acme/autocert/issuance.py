"""Get one certificate from a CA or from the local one, within the budget, and over a crash in between."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from autocert import keys
from autocert.budget import Budget
from autocert.certificate import Certificate, checked
from autocert.client import DISK_SECONDS, Client
from autocert.contacts import Contacts
from autocert.errors import (
    OrderLostError,
    ReplyError,
    StorageError,
    ValidationError,
    WrongCertificateError,
)
from autocert.explain import explain
from autocert.ledger import certificate_charges, failure_charges, limits_of, order_charges
from autocert.local_ca import LocalCa
from autocert.order import Patience, complete, place, resume
from autocert.problem import Problem
from autocert.renewal import Window
from autocert.replies import Order
from autocert.session import Session
from autocert.settings import Authority, Settings, Wanted
from autocert.shelf import Damage
from autocert.storage import Storage
from autocert.surroundings import Surroundings
from autocert.under_way import UnderWay, unsealed


class Events(Protocol):
    """What an order tells while it goes on."""

    async def thumbprint(self, names: tuple[str, ...], thumbprint: str) -> None:
        """Have the challenges of these names answered with this account's thumbprint, before returning."""

    def challenge_pending(self, names: tuple[str, ...], pending: bool) -> None:
        """Tell that the CA is about to ask for these names, or no longer."""


class Issuer(Protocol):
    """Something that gives certificates."""

    async def issue(self, wanted: Wanted, served: Certificate | None, *, urgent: bool) -> Certificate:
        """Return a new certificate, `served` being the one in use; with `urgent` even if nothing can be kept."""

    async def window(self, wanted: Wanted, certificate: Certificate) -> tuple[Window | None, float | None]:
        """Return the CA's suggested renewal window and how many seconds later to ask again."""

    async def prepare(self, authority: Authority, names: tuple[str, ...]) -> None:
        """Get ready to answer challenges for these names, without asking the CA anything."""

    def taken_damage(self) -> list[Damage]:
        """Return the damage that was found in stored files since the last time."""

    def taken_refusals(self) -> list[Problem]:
        """Return what CAs have refused since the last time without a certificate being missed."""

    @property
    def root_path(self) -> Path:
        """Return where the local CA's root certificate is."""


class CaIssuer:
    """Gives certificates of ACME CAs, and of the local one where a site wants that."""

    def __init__(
        self, settings: Settings, events: Events, storage: Storage, surroundings: Surroundings
    ) -> None:
        self._settings = settings
        self._events = events
        self._storage = storage
        self._runner = surroundings.runner
        self._clock = surroundings.clock
        self._connect = surroundings.connect
        self._budget = Budget(storage, self._clock)
        self._clients: dict[Authority, Client] = {}
        self.local_ca = LocalCa(storage)
        self.contacts = Contacts()

    async def prepare(self, authority: Authority, names: tuple[str, ...]) -> None:
        """Announce the account's thumbprint; its key is made when there is none."""
        account = await self.client(authority).account(memory_will_do=True)
        await self._events.thumbprint(names, account.thumbprint)

    @property
    def root_path(self) -> Path:
        """Return where the local CA's root certificate is."""
        return self.local_ca.root_path

    async def issue(self, wanted: Wanted, served: Certificate | None, *, urgent: bool) -> Certificate:
        """Return a new certificate.

        Raises one of this package's errors, which `explain` turns into a problem.
        """
        if wanted.is_local:
            issue = partial(self.local_ca.issue, wanted.names, wanted.key_type, self._clock.wall())
            return await self._runner.run(issue, DISK_SECONDS)
        client = self.client(wanted.authority)
        account = await client.account(memory_will_do=urgent)
        await self._events.thumbprint(wanted.names, account.thumbprint)
        async with client.session(memory_will_do=urgent) as session:
            try:
                return await self._obtain(client, session, wanted, served, urgent=urgent)
            except ReplyError as error:
                if error.document.code != "accountDoesNotExist":
                    raise
        # The CA's directory was reset: register once more and start over.
        await client.forget_registration(session.account_uri)
        async with client.session(memory_will_do=urgent) as session:
            return await self._obtain(client, session, wanted, None, urgent=urgent)

    async def window(self, wanted: Wanted, certificate: Certificate) -> tuple[Window | None, float | None]:
        """Return the CA's suggested window, (None, None) where there is no such thing."""
        if wanted.is_local or not certificate.ari_id:
            return None, None
        async with self.client(wanted.authority).session(memory_will_do=True, registered=False) as session:
            return await session.renewal_information(certificate.ari_id)

    def client(self, authority: Authority) -> Client:
        """Return the client of an authority."""
        if authority not in self._clients:
            self._clients[authority] = Client(
                authority,
                self._settings,
                self._settings.limits or limits_of(authority.url),
                storage=self._storage,
                budget=self._budget,
                runner=self._runner,
                clock=self._clock,
                connect=self._connect,
                contacts=self.contacts,
            )
        return self._clients[authority]

    def taken_damage(self) -> list[Damage]:
        """Return the damage found in accounts, ledger and local CA since the last time."""
        found: list[Damage] = []
        keepers = (self._budget.damage, self.local_ca.damage, *(c.damage for c in self._clients.values()))
        for damage in keepers:
            found += damage
            damage.clear()
        return found

    def taken_refusals(self) -> list[Problem]:
        """Return what CAs have said against our contacts since the last time."""
        path, now = str(self._settings.storage), self._clock.wall()
        found: list[Problem] = []
        for client in self._clients.values():
            found += [explain(error, "", client.authority, path, now) for error in client.refusals]
            client.refusals.clear()
        return found

    async def _obtain(
        self, client: Client, session: Session, wanted: Wanted, served: Certificate | None, *, urgent: bool
    ) -> Certificate:
        order, under_way = await self._started(client, session, wanted, served, urgent=urgent)
        request = keys.signing_request(keys.from_pem(under_way.key_pem), wanted.names)
        patience = Patience(self._clock, self._settings.order_seconds)

        async def permit_certificate() -> None:
            if not under_way.exempt:
                charges = certificate_charges(wanted.authority.url, wanted.names, client.limits)
                await self._spend(partial(self._budget.spend, charges, memory_will_do=urgent))

        self._events.challenge_pending(wanted.names, True)
        try:
            chain = await complete(session, order, request, patience, permit_certificate)
        except ReplyError as error:
            await self._order_failed(error, client, wanted)
            raise
        finally:
            self._events.challenge_pending(wanted.names, False)
        return await self._checked(under_way, chain, wanted)

    async def _started(
        self, client: Client, session: Session, wanted: Wanted, served: Certificate | None, *, urgent: bool
    ) -> tuple[Order, UnderWay]:
        """Go on with the order that an earlier process left behind, or place one."""
        now = self._clock.wall()
        load = partial(self._storage.load_order, wanted.ident, unsealed, now)
        left = await self._runner.run(load, DISK_SECONDS)
        if left is not None and left.fits(wanted, now):
            try:
                return await resume(session, left.url), left
            except OrderLostError:
                await self._drop(wanted)

        async def permit_plain() -> None:
            url, limits = wanted.authority.url, client.limits
            look = [
                *certificate_charges(url, wanted.names, limits),
                *failure_charges(url, wanted.names, limits),
            ]
            spend = partial(self._budget.spend, order_charges(url, limits), look=look, memory_will_do=urgent)
            await self._spend(spend)

        replaces = served.ari_id if served is not None and served.origin == wanted.authority.url else ""
        key = await self._runner.run(partial(keys.new_key, wanted.key_type), DISK_SECONDS)
        if replaces and not await session.offers_renewal_information():
            replaces = ""
        placed = await place(session, wanted.names, wanted.profile, replaces, permit_plain)
        under_way = UnderWay(
            url=placed.order.url,
            names=wanted.names,
            directory=wanted.authority.url,
            profile=wanted.profile,
            placed_at=now,
            exempt=placed.exempt,
            key_pem=keys.to_pem(key),
        )
        await self._keep(under_way, wanted, urgent=urgent)
        return placed.order, under_way

    async def _checked(self, under_way: UnderWay, chain: bytes, wanted: Wanted) -> Certificate:
        try:
            return checked(
                under_way.key_pem,
                chain,
                names=wanted.names,
                origin=wanted.authority.url,
                profile=wanted.profile,
                stored_at=self._clock.wall(),
            )
        except WrongCertificateError:
            await self._drop(wanted)
            raise

    async def _order_failed(self, error: ReplyError, client: Client, wanted: Wanted) -> None:
        if isinstance(error, ValidationError):
            charges = failure_charges(wanted.authority.url, [error.name], client.limits)
            await self._spend(partial(self._budget.record, charges))
        if error.document.status < 500 and error.document.code not in {"rateLimited", "badNonce"}:
            await self._drop(wanted)

    async def _spend(self, spend: Callable[[], None]) -> None:
        await self._runner.run(spend, DISK_SECONDS)

    async def _keep(self, under_way: UnderWay, wanted: Wanted, *, urgent: bool) -> None:
        try:
            save = partial(self._storage.save_order, wanted.ident, under_way.sealed())
            await self._runner.run(save, DISK_SECONDS)
        except StorageError:
            if not urgent:
                raise

    async def _drop(self, wanted: Wanted) -> None:
        try:
            await self._runner.run(partial(self._storage.drop_order, wanted.ident), DISK_SECONDS)
        except StorageError:
            # What stays there will be found lost, or too old, when it is looked at again.
            return
