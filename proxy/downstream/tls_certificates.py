"""The certificates of one worker: what the supervisor has pushed, and who waits for more."""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.config.schema import Tls
from proxy.downstream.tls_any_name import LONGEST_WAIT, NamesUnderAny
from proxy.downstream.tls_contexts import CertificateError, ContextCache, KeyPair, build_context
from proxy.downstream.tls_hold import UNAVAILABLE, Hold, Refuse

#: The name under which the certificate of a site for any host is kept.
ANY_NAME: Final = "*"
#: The supervisor is asked for a missing certificate at most this often per name (seconds): it issues once for all
#: who wait, and a flood of handshakes must not become a flood of messages.
ASK_INTERVAL: Final = 1.0
#: How long a context is served without asking whether it has grown too old, or keeps better ones from their place.
READY_SECONDS: Final = 1.0
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedName:
    """How a configured name is served; ``hold`` is how long a handshake waits for its certificate (seconds).

    ``each``, for ANY_NAME alone: every name that a client asks for gets a certificate of its own.
    """

    hold: float = 15.0
    min_version: str = "1.2"
    each: bool = False


def served_name(tls: Tls) -> ServedName:
    """Derive how a name is served from the settings of its site."""
    return ServedName(hold=tls.hold, min_version=tls.min_version, each=tls.mode == "self-signed")


def _report_nothing(_name: str, _error: CertificateError) -> None:
    return None


class CertificateStore:
    """Finds the certificate for a handshake by exact server name.

    ``ask`` is called with a name whose certificate is missing and wanted now. ``report`` is called with a name whose
    certificate turned out to be unusable when it was first needed. ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ask: Callable[[str], None],
        *,
        clock: Callable[[], float],
        report: Callable[[str, CertificateError], None] = _report_nothing,
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._clock = clock
        self._report = report
        self._contexts = ContextCache(clock)
        self._names: Mapping[str, ServedName] = {}
        self._default: str | None = None
        self._pairs: dict[str, KeyPair] = {}
        self._uses: Counter[KeyPair] = Counter()
        self._waiting: dict[str, asyncio.Future[ssl.SSLContext | Refuse]] = {}
        self._asked: dict[str, float] = {}
        self._under_any = NamesUnderAny(clock)
        self._awaited_under_any: set[str] = set()
        #: What ``lookup`` last found for a name, until something changes or for READY_SECONDS.
        self._ready: dict[str | None, ssl.SSLContext] = {}
        self._ready_until = 0.0
        self._placeholder: Callable[[str], ssl.SSLContext | None] | None = None

    # --- what the supervisor pushes

    def wanted(self, names: Mapping[str, ServedName], default: str | None = None) -> None:
        """Set the names that are served, and the one that a client without SNI gets; the rest is refused.

        Names are lower-case A-labels, or ANY_NAME for a site for any host. Certificates of names that are not
        listed any more are forgotten; handshakes that wait for one are refused.
        """
        self._ready = {}
        self._names = dict(names)
        self._default = default
        for name in [name for name in self._pairs if name not in names]:
            self.remove(name)
        self._under_any.forget()
        self._awaited_under_any.clear()
        for name in [name for name in self._waiting if name not in names]:
            general = self._context(ANY_NAME) if self._is_under_any(name) else None
            self._release(name, general or Refuse())
        self._asked = {name: asked for name, asked in self._asked.items() if name in names}

    def set(self, name: str, chain_pem: bytes, key_pem: bytes) -> None:
        """Serve this certificate for ``name`` from the next handshake on, and release those who wait for it.

        Raises CertificateError when it replaces or releases something and cannot be used; then all stays as it
        was. A first one is looked at when it is first needed: thousands would keep a new worker from starting.
        """
        pair = KeyPair(chain_pem, key_pem)
        if self._is_under_any(name):
            self._set_under_any(name, pair)
            return
        old = self._pairs.get(name)
        if pair == old:
            return
        if old is not None or name in self._waiting:
            context = self._contexts.get(pair, self._min_version(name))
            self._release(name, context)
        self.remove(name)
        self._pairs[name] = pair
        self._uses[pair] += 1

    def remove(self, name: str) -> None:
        """Forget the certificate of a name; open connections keep theirs."""
        self._ready = {}
        pair = self._pairs.pop(name, None)
        if pair is None:
            return
        if name == ANY_NAME:
            self._under_any.forget()
        self._uses[pair] -= 1
        if not self._uses[pair]:
            del self._uses[pair]
            self._contexts.forget(pair)

    def fail(self, name: str) -> None:
        """End the waits for a name: its certificate cannot be had at present."""
        if self._is_under_any(name):
            self._fail_under_any(name)
        else:
            self._release(name, UNAVAILABLE)

    def set_placeholder(self, chain_pem: bytes, key_pem: bytes, applies: Callable[[str], bool]) -> None:
        """Greet peers for whose address ``applies`` with this certificate, where others would wait.

        A CDN that turns challenges into https requests would otherwise wait for the certificate it helps to make.
        Raises CertificateError.
        """
        context = build_context(KeyPair(chain_pem, key_pem))
        self._placeholder = lambda peer: context if applies(peer) else None

    # --- what handshakes and requests ask

    def lookup(self, server_name: str | None) -> ssl.SSLContext | Hold | Refuse:
        """Decide how a client that asks for ``server_name`` (None: it sent no SNI) is greeted."""
        now = self._clock()
        if now >= self._ready_until:
            self._ready = {}
            self._ready_until = now + READY_SECONDS
        ready = self._ready.get(server_name)
        if ready is not None:
            return ready
        name = self._served_as(server_name)
        if name is None:
            return Refuse()
        if server_name is not None and name != server_name and name in self._pairs:
            under_any = self._find_under_any(server_name)
            if under_any is not None:
                return under_any
        context = self._context(name)
        if context is None:
            return self._hold(name)
        if name == server_name or server_name is None:  # others may be as many as a client can think of
            self._ready[server_name] = context
        return context

    def same_certificate(self, server_name: str | None, host: str) -> bool:
        """Say whether the certificate that ``server_name`` was greeted with is also the one of ``host``.

        A request for a host of another certificate on this connection is misdirected (421).
        """
        greeted, asked = self._served_as(server_name), self._served_as(host)
        if greeted is None or asked is None:
            return False
        if greeted == asked:
            return True
        # A site that wants TLS 1.3 must not be reached by way of another one that shares its certificate.
        is_strict = self._min_version(greeted) >= self._min_version(asked)
        return is_strict and greeted in self._pairs and self._pairs[greeted] == self._pairs.get(asked)

    def has(self, name: str) -> bool:
        """Say whether a client that asks for ``name`` would be greeted with a certificate at once."""
        return self._served_as(name) in self._pairs

    def _served_as(self, server_name: str | None) -> str | None:
        """Find the configured name that answers for what a client named."""
        if server_name is not None:
            if server_name in self._names:
                return server_name
            if ANY_NAME in self._names:
                return ANY_NAME
            if _IPV4.fullmatch(server_name) is None:
                return None
            # RFC 6066 section 3 allows no address there; some clients send one all the same, and mean no name
        return self._default if self._default in self._names else None

    def _context(self, name: str) -> ssl.SSLContext | None:
        pair = self._pairs.get(name)
        if pair is None:
            return None
        try:
            return self._contexts.get(pair, self._min_version(name))
        except CertificateError as error:
            self.remove(name)
            self._report(name, error)
            return None

    # --- names under a site for any host

    def _is_under_any(self, name: str) -> bool:
        served = self._names.get(ANY_NAME)
        return served is not None and served.each and name not in self._names

    def _find_under_any(self, name: str) -> ssl.SSLContext | Hold | None:
        """Find a name's own certificate, or wait for it; None where the site's own has to do."""
        if not self._is_under_any(name):
            return None
        context = self._under_any.get(name)
        if context is not None:
            return context
        outcome = self._waiting.get(name)
        if outcome is None:
            if not self._under_any.may_ask(name, len(self._awaited_under_any)):
                return None
            outcome = self._waiting[name] = self._loop.create_future()
            self._awaited_under_any.add(name)
            self._ask(name)
        return Hold(outcome, min(self._names[ANY_NAME].hold, LONGEST_WAIT))

    def _set_under_any(self, name: str, pair: KeyPair) -> None:
        try:
            context = build_context(pair, self._min_version(ANY_NAME))
        except CertificateError:
            self._fail_under_any(name)
            return
        self._under_any.keep(name, context)
        self._awaited_under_any.discard(name)
        self._release(name, context)

    def _fail_under_any(self, name: str) -> None:
        self._under_any.refuse(name)
        self._awaited_under_any.discard(name)
        self._release(name, self._context(ANY_NAME) or UNAVAILABLE)

    # --- waiting

    def _hold(self, name: str) -> Hold | Refuse:
        self._ask_for(name)
        seconds = self._names[name].hold
        if seconds <= 0 and self._placeholder is None:
            return UNAVAILABLE
        outcome = self._waiting.get(name)
        if outcome is None:
            outcome = self._waiting[name] = self._loop.create_future()
        return Hold(outcome, seconds, self._placeholder)

    def _ask_for(self, name: str) -> None:
        now = self._clock()
        if now - self._asked.get(name, -ASK_INTERVAL) >= ASK_INTERVAL:
            self._asked[name] = now
            self._ask(name)

    def _min_version(self, name: str) -> str:
        served = self._names.get(name)
        return "1.2" if served is None else served.min_version

    def _release(self, name: str, outcome: ssl.SSLContext | Refuse) -> None:
        waiting = self._waiting.pop(name, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)
