"""Certificates for whatever name a client asks for, under a site of domains ["*"] with the local CA."""

from dataclasses import replace
from typing import Final

from autocert.certificate import Certificate
from autocert.clock import Clock
from autocert.entry import Entry
from autocert.errors import AutocertError
from autocert.explain import explain
from autocert.issuance import Issuer
from autocert.names import BadNameError, normalise
from autocert.problem import Kind, Problem, problem
from autocert.renewal import DAY

_MOST: Final = 1000


class AnyName:
    """Makes them when they are asked for and keeps the latest few in memory alone."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._made: dict[str, Certificate] = {}

    async def get(self, name: str, entry: Entry) -> Certificate | Problem:
        """Return a certificate for the name, from the CA of the "*" entry."""
        now = self._clock.wall()
        try:
            plain = normalise(name)
            certificate = self._made.pop(plain, None)
            if certificate is None or now >= certificate.not_after - DAY:
                wanted = replace(entry.wanted, names=(plain,))
                certificate = await self._issuer.issue(wanted, None, urgent=True)
        except BadNameError:
            return problem(Kind.NOT_WANTED, name)
        except (AutocertError, TimeoutError) as error:
            return explain(error, name, entry.wanted.authority, "", now)
        self._made[plain] = certificate
        if len(self._made) > _MOST:
            del self._made[next(iter(self._made))]
        return certificate
