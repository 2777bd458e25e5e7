"""Who may use the operator's listener: whoever can open the unix socket, or has the token over TCP."""

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.admin.problem import problem


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """An empty token: no check, since the unix socket's mode is one. `host` is the configured TCP host."""

    token: str = ""
    host: str = ""

    def fault(self, headers: Headers) -> Response | None:
        """Return the refusal for a request with these fields, or None.

        A browser can be made to send requests here under a name that its attacker controls (DNS rebinding),
        so Host must be an address, localhost or the configured name.
        """
        if not self.token:
            return None
        if not self._knows(headers.get("host", "")):
            return problem(HTTPStatus.MISDIRECTED_REQUEST, "use the address of this listener as Host")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), self.token.encode()):
            return None
        refusal = problem(HTTPStatus.UNAUTHORIZED, "send Authorization: Bearer with [server] admin_token")
        refusal.headers["www-authenticate"] = 'Bearer realm="foregate"'
        return refusal

    def _knows(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if not name or port.endswith("]"):
            name = host
        name = name.strip("[]").lower()
        if name in ("localhost", self.host.lower()):
            return bool(name)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class AccessControl:
    """ASGI middleware that answers what the policy refuses; a reload may change the policy."""

    def __init__(self, app: ASGIApp, policy: Callable[[], AccessPolicy]) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = self._policy().fault(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)
