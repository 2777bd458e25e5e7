"""Certificates for whatever name a client asks for, under a site of domains ["*"] with the local CA.

Whoever can connect can make up names, so they are made one after the other and at a bounded pace: a flood costs a
key and a signature a second, and names that have one already are served from memory.
"""

import asyncio
from dataclasses import replace
from typing import Final

from autocert.certificate import Certificate
from autocert.clock import Clock
from autocert.entry import Entry
from autocert.errors import AutocertError
from autocert.explain import explain, moment
from autocert.issuance import Issuer
from autocert.names import BadNameError, normalise
from autocert.problem import Kind, Problem, problem
from autocert.renewal import DAY

_MOST: Final = 1000
#: New names at once, and how long it takes until one more may follow (seconds).
BURST: Final = 100
SECONDS_EACH: Final = 1.0


class AnyName:
    """Makes them when they are asked for and keeps the latest few in memory alone."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._made: dict[str, Certificate] = {}
        self._turn = asyncio.Lock()
        # A token bucket: the moment, by the steady clock, at which it will be full again.
        self._full_at = 0.0

    async def get(self, name: str, entry: Entry) -> Certificate | Problem:
        """Return a certificate for the name, from the CA of the "*" entry."""
        try:
            plain = normalise(name)
        except BadNameError:
            return problem(Kind.NOT_WANTED, name)
        async with self._turn:
            certificate = self._made.pop(plain, None)
            if certificate is None or self._clock.wall() >= certificate.not_after - DAY:
                made = await self._make(plain, entry)
                if isinstance(made, Problem):
                    return made
                certificate = made
            self._made[plain] = certificate
            if len(self._made) > _MOST:
                del self._made[next(iter(self._made))]
        return certificate

    async def _make(self, name: str, entry: Entry) -> Certificate | Problem:
        now, steady = self._clock.wall(), self._clock.steady()
        full_at = max(self._full_at, steady) + SECONDS_EACH
        wait = full_at - steady - BURST * SECONDS_EACH
        if wait > 0:
            words = f"{BURST} new names at once, then one a second"
            return problem(Kind.OWN_BUDGET, name, limit=words, when=moment(now + wait))
        self._full_at = full_at
        try:
            return await self._issuer.issue(replace(entry.wanted, names=(name,)), None, urgent=True)
        except (AutocertError, TimeoutError) as error:
            return explain(error, name, entry.wanted.authority, "", now)
