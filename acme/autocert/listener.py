"""What the certificate manager tells the program that it is part of."""

from typing import Protocol

from autocert.certificate import Certificate
from autocert.problem import Problem


class Listener(Protocol):
    """Receives events on the event loop; none of the calls may raise."""

    def certificate_available(self, name: str, certificate: Certificate) -> None:
        """Serve this certificate for the name from now on."""

    async def thumbprint(self, names: tuple[str, ...], thumbprint: str) -> None:
        """Answer the challenges of these names with this account's thumbprint; return when that is so.

        It is called for every name when it is first wanted and again before each order.
        """

    def challenge_pending(self, names: tuple[str, ...], pending: bool) -> None:
        """Know that the CA is about to ask for these names, or no longer."""

    def problem(self, name: str, problem: Problem) -> None:
        """Log the problem; name is "" when it concerns no certificate in particular."""
