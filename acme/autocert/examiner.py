"""Look into why a wanted name gets no certificate, on request and after a failed validation."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

from autocert.diagnose import Diagnosis, Question, diagnose
from autocert.entry import Entry
from autocert.errors import AutocertError
from autocert.explain import explain
from autocert.issuance import CaIssuer
from autocert.problem import Kind, Problem
from autocert.resolver import Resolver
from autocert.settings import Authority, Settings
from autocert.surroundings import Surroundings

# While this goes on, whoever waits for the certificate does not hear yet that it has failed.
_SECONDS: Final = 10.0
_ABOUT_OUR_DNS: Final = (Kind.DNS_FAILS, Kind.RESOLVER_FAILS)


class Examiner:
    """Asks DNS, port 80 and the CA."""

    def __init__(self, settings: Settings, issuer: CaIssuer, surroundings: Surroundings) -> None:
        self._settings = settings
        self._issuer = issuer
        self._runner = surroundings.runner
        self._clock = surroundings.clock
        self._resolver = surroundings.resolver or Resolver(settings.resolver)

    async def diagnose(self, name: str, entry: Entry) -> Diagnosis:
        """Return all that is wrong with a name: what can be seen now, then what its last attempt met with."""
        authority = entry.wanted.authority
        known = [] if entry.record.problem is None else [entry.record.problem]
        identities: tuple[str, ...] = ()
        if not entry.wanted.is_local:
            try:
                client = self._issuer.client(authority)
                async with client.session(memory_will_do=True, registered=False) as session:
                    identities = await session.caa_identities()
            except (AutocertError, TimeoutError) as error:
                path = str(self._settings.storage)
                known.insert(0, explain(error, name, authority, path, self._clock.wall()))
        found = await self._look(name, authority, identities)
        seen = {one.kind for one in found.problems}
        return replace(found, problems=(*found.problems, *(one for one in known if one.kind not in seen)))

    async def after_failure(self, name: str, authority: Authority) -> Problem | None:
        """Return what keeps the CA from validating a name, None when nothing is found in time."""
        with suppress(AutocertError, TimeoutError, OSError):
            async with asyncio.timeout(_SECONDS):
                found = await self._look(name, authority, ())
                # That our DNS does not answer says nothing about what the CA met with.
                telling = [one for one in found.problems if one.kind not in _ABOUT_OUR_DNS]
                return telling[0] if telling else None
        return None

    async def _look(self, name: str, authority: Authority, identities: tuple[str, ...]) -> Diagnosis:
        account = await self._issuer.client(authority).account(memory_will_do=True)
        question = Question(
            name=name,
            thumbprint=account.thumbprint,
            ca=authority.name,
            identities=identities,
            http_port=self._settings.http_port,
        )
        return await diagnose(question, self._resolver, self._runner)
