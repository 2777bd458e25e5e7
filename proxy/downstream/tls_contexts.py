"""OpenSSL contexts from certificates and keys in memory."""

import os
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import ForegateError

_ALPN: Final = ("http/1.1", "http/1.0")
#: The application protocols that we speak; the first that a client offers too is chosen.
ALPN_PROTOCOLS: Final = frozenset(name.encode("ascii") for name in _ALPN)
#: Forward secrecy and authenticated encryption only (TLS 1.2; all suites of TLS 1.3 are of that kind).
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: OpenSSL's SSL_OP_PRIORITIZE_CHACHA, which Python does not name: our order counts, but a client that puts ChaCha20
#: first (it has no AES instructions) gets it.
_PRIORITIZE_CHACHA: Final = 0x00200000
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: A context costs about 1 ms to make and 25 KB to keep.
CONTEXTS_KEPT: Final = 1000
#: Session tickets are encrypted with a key of their context, so a context must not live for ever (seconds).
CONTEXT_LIFETIME: Final = 86400.0


class CertificateError(ForegateError):
    """A certificate and key that cannot be served; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain, leaf first, and its private key, both PEM."""

    chain: bytes
    key: bytes = field(repr=False)


def build_context(pair: KeyPair, min_version: str = "1.2") -> ssl.SSLContext:
    """Make the server's context for one certificate; ``min_version`` is "1.2" or "1.3".

    Raises CertificateError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[min_version]
    context.set_ciphers(CIPHERS)
    context.options |= (
        ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA
    )
    context.set_alpn_protocols(list(_ALPN))
    context.num_tickets = 1  # each costs 12 µs of a handshake's 450; every connection gets one
    _load(context, pair)
    return context


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Load the pair through a file that exists in memory only: OpenSSL's binding takes nothing but paths."""
    if b"-----BEGIN CERTIFICATE-----" not in pair.chain:
        raise CertificateError("the certificate file holds no PEM certificate (-----BEGIN CERTIFICATE-----)")
    if b"PRIVATE KEY-----" not in pair.key:
        raise CertificateError("the key file holds no PEM private key (-----BEGIN PRIVATE KEY-----)")
    if b"ENCRYPTED" in pair.key:
        raise CertificateError("the private key is encrypted; store it without a passphrase (openssl pkey)")
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pair.chain + b"\n" + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    except (ssl.SSLError, ValueError) as exc:
        raise CertificateError(_wording(exc)) from exc
    finally:
        os.close(descriptor)


def _wording(exc: Exception) -> str:
    reason = getattr(exc, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return "the private key does not belong to the certificate; give the key it was made with"
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"OpenSSL finds the certificate too weak ({reason.replace('_', ' ').lower()}); get a newer one"
    detail = f" ({reason.replace('_', ' ').lower()})" if reason else ""
    return f"the certificate chain or the private key is damaged{detail}; write both anew"


@dataclass(slots=True)
class ContextCache:
    """Keeps the contexts used last, one for each pair and version, and renews them every CONTEXT_LIFETIME."""

    clock: Callable[[], float]
    size: int = CONTEXTS_KEPT
    _kept: OrderedDict[tuple[KeyPair, str], tuple[ssl.SSLContext, float]] = field(default_factory=OrderedDict)

    def get(self, pair: KeyPair, min_version: str) -> ssl.SSLContext:
        """Return the pair's context; raises CertificateError when it has to be made and cannot be."""
        wanted = (pair, min_version)
        now = self.clock()
        kept = self._kept.get(wanted)
        if kept is not None and now - kept[1] < CONTEXT_LIFETIME:
            self._kept.move_to_end(wanted)
            return kept[0]
        context = build_context(pair, min_version)
        self._kept[wanted] = (context, now)
        self._kept.move_to_end(wanted)
        if len(self._kept) > self.size:
            self._kept.popitem(last=False)
        return context

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self, pair: KeyPair) -> None:
        """Drop the pair's contexts; open connections keep theirs."""
        for kept in [kept for kept in self._kept if kept[0] == pair]:
            del self._kept[kept]
