"""The operator's way to the cache: how full it is, what it did, and how to make it forget."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.admin.operations import Document
from proxy.admin.problem import problem
from proxy.config.errors import UnacceptableError
from proxy.config.http_values import parse_purge_path

_API: Final = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeOutcome:
    """What became of a purge: `fault` says what is in the way; `is_known` is false for a site that does not exist."""

    fault: str = ""
    is_known: bool = True


class CacheOperations(Protocol):
    """The cache, as its operator sees it."""

    def cache(self) -> Document:
        """Describe how full the cache is and what it did."""
        ...

    async def purge(self, site: str, prefix: str) -> PurgeOutcome:
        """Make void what is kept for a site ("": all) under a prefix of the path ("": all), in all workers."""
        ...


def cache_routes(operations: CacheOperations) -> list[Route]:
    """Build GET /api/v1/cache and POST /api/v1/purge."""

    async def show(_request: Request) -> Response:
        return JSONResponse(operations.cache())

    async def purge(request: Request) -> Response:
        site, prefix = request.query_params.get("site", ""), request.query_params.get("path", "")
        unknown = sorted(set(request.query_params) - {"site", "path"})
        if unknown:
            return problem(HTTPStatus.BAD_REQUEST, f'there is no parameter "{unknown[0]}"')
        try:
            prefix = parse_purge_path(prefix) if prefix else ""
        except UnacceptableError as exc:
            return problem(HTTPStatus.BAD_REQUEST, f'path is "{prefix}", {exc.advice}')
        outcome = await operations.purge(site, prefix)
        if not outcome.is_known:
            return problem(HTTPStatus.NOT_FOUND, outcome.fault)
        if outcome.fault:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, outcome.fault)
        return JSONResponse({"site": site or None, "path": prefix or None})

    return [Route(f"{_API}/cache", show), Route(f"{_API}/purge", purge, methods=["POST"])]
