"""How certificates of https upstreams are verified."""

import ssl

from proxy.errors import TlsFailureError


def verifying_context(ca_file: str) -> ssl.SSLContext:
    """Make a context that trusts ``ca_file`` alone, or the system's authorities where it is empty.

    Chain, dates and name are verified. Python 3.13 also began to refuse what RFC 5280 demands of a CA's form
    (VERIFY_X509_STRICT): a root without key usage, for one, as many that people make for their own containers.
    A file must not stop being good with a newer Python, so that is left out; and the file may hold an
    intermediate, or the upstream's own certificate (VERIFY_X509_PARTIAL_CHAIN), with every Python alike.

    Raises OSError when the file cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class UpstreamTls:
    """TLS contexts for https upstreams: always verified, one for each CA file."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, ca_file: str) -> ssl.SSLContext:
        """Return the context that trusts ``ca_file`` alone, or the system's authorities where it is empty.

        Raises TlsFailureError when the file cannot be used (any more).
        """
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = verifying_context(ca_file)
            except OSError as exc:  # an SSLError is one, too
                raise TlsFailureError(f"{ca_file}: {exc}") from exc
            context.set_alpn_protocols(["http/1.1"])
            self._contexts[ca_file] = context
        return context

    def forget(self) -> None:
        """Read the CA files again when they are needed next."""
        self._contexts.clear()
