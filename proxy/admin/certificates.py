"""The operator's way to certificates: how they stand, renew one, go back to one, and why there is none."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.admin.operations import Document
from proxy.admin.problem import problem

_PREFIX: Final = "/api/v1/certificates"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOutcome:
    """What became of a request: the certificate as it stands now, or `fault`, which says what is in the way.

    `is_known` is false for a name that no certificate here is for.
    """

    certificate: Document | None = None
    fault: str = ""
    is_known: bool = True


class CertificateOperations(Protocol):
    """Certificates, as the operator sees them; names are domains in lower case, without a trailing dot."""

    def certificates(self) -> Document:
        """Describe all certificates, and what is wrong with the storage."""
        ...

    async def renew_certificate(self, name: str) -> CertificateOutcome:
        """Order a new certificate for a domain now, and wait for it."""
        ...

    async def restore_certificate(self, name: str) -> CertificateOutcome:
        """Go back to a domain's former certificate, or keep one whose domain was removed."""
        ...

    async def diagnose(self, name: str) -> Document | None:
        """Find out why a domain gets no certificate; None for a domain that is not configured."""
        ...


def certificate_routes(operations: CertificateOperations) -> list[Route]:
    """Build the routes under /api/v1/certificates."""

    async def list_all(_request: Request) -> Response:
        return JSONResponse(operations.certificates())

    async def renew(request: Request) -> Response:
        return _answer(await operations.renew_certificate(_name(request)))

    async def restore(request: Request) -> Response:
        return _answer(await operations.restore_certificate(_name(request)))

    async def diagnosis(request: Request) -> Response:
        found = await operations.diagnose(_name(request))
        if found is None:
            return problem(HTTPStatus.NOT_FOUND, f"{_name(request)} is not in the configuration")
        return JSONResponse(found)

    return [
        Route(_PREFIX, list_all),
        Route(f"{_PREFIX}/{{name}}/renew", renew, methods=["POST"]),
        Route(f"{_PREFIX}/{{name}}/restore", restore, methods=["POST"]),
        Route(f"{_PREFIX}/{{name}}/diagnosis", diagnosis),
    ]


def _name(request: Request) -> str:
    return str(request.path_params["name"]).lower().removesuffix(".")


def _answer(outcome: CertificateOutcome) -> Response:
    if outcome.fault:
        status = HTTPStatus.CONFLICT if outcome.is_known else HTTPStatus.NOT_FOUND
        return problem(status, outcome.fault)
    return JSONResponse(outcome.certificate)
