"""The names under a site for any host: which have a certificate of their own by now, and which may ask for one.

Theory of operation.  The local CA makes a certificate for each name that clients ask for (browsers accept no
certificate for all names), one name at a time and at a bounded pace.  A flood of invented names must cost little
and take nothing from others: what is kept, waited for and remembered as refused is bounded, and whoever comes
beyond a bound is greeted with the certificate of the site itself, as all were before.
"""

import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from proxy.downstream.tls_contexts import CONTEXT_LIFETIME

#: Names whose contexts one worker keeps, about 25 KB each.
NAMES_KEPT: Final = 256
#: Names that handshakes of one worker wait for at once.
NAMES_AWAITED: Final = 64
#: How long a handshake waits for the local CA, at most (seconds); it takes milliseconds.
LONGEST_WAIT: Final = 5.0
#: How long a name that got no certificate is not asked for again (seconds), and how many such are remembered.
REFUSED_SECONDS: Final = 60.0
REFUSED_KEPT: Final = 1000
#: How long nothing new is asked for after a refusal (seconds): the usual reason is that too much was asked for.
PAUSE_SECONDS: Final = 1.0


class NamesUnderAny:
    """The contexts made for single names; ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._made: OrderedDict[str, tuple[ssl.SSLContext, float]] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._pause_ends = 0.0

    def get(self, name: str) -> ssl.SSLContext | None:
        """Return a name's context, None when there is none or it is so old that its certificate may end."""
        made = self._made.get(name)
        if made is None or self._clock() - made[1] >= CONTEXT_LIFETIME:
            return None
        self._made.move_to_end(name)
        return made[0]

    def keep(self, name: str, context: ssl.SSLContext) -> None:
        """Keep a name's context, in the place of the one used least recently where there are too many."""
        self._made[name] = (context, self._clock())
        self._made.move_to_end(name)
        if len(self._made) > NAMES_KEPT:
            self._made.popitem(last=False)

    def refuse(self, name: str) -> None:
        """Remember that a name got no certificate."""
        now = self._clock()
        self._pause_ends = now + PAUSE_SECONDS
        self._refused[name] = now
        self._refused.move_to_end(name)
        if len(self._refused) > REFUSED_KEPT:
            self._refused.popitem(last=False)

    def may_ask(self, name: str, awaited: int) -> bool:
        """Say whether a certificate may be asked for, while ``awaited`` names are waited for already."""
        now, refused = self._clock(), self._refused.get(name)
        if awaited >= NAMES_AWAITED or now < self._pause_ends:
            return False
        return refused is None or now - refused >= REFUSED_SECONDS

    def forget(self) -> None:
        """Drop everything; open connections keep their contexts."""
        self._made.clear()
        self._refused.clear()

    def __len__(self) -> int:
        return len(self._made)
