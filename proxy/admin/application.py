"""The two Starlette applications: a read-only one for monitoring, and the operator's."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.admin.access import AccessControl, AccessPolicy
from proxy.admin.openapi import document
from proxy.admin.operations import Operations
from proxy.admin.problem import problem
from proxy.admin.scrapes import Scrapes

_API: Final = "/api/v1"


def monitoring_application(operations: Operations) -> Starlette:
    """Build /metrics, /healthz and /readyz, for any Host."""
    return _application(_monitoring_routes(operations))


def operator_application(
    operations: Operations, policy: Callable[[], AccessPolicy], further: Iterable[Route] = ()
) -> Starlette:
    """Build everything else, and monitoring too, behind the access policy; `further` are other parts' routes."""
    routes = [*_monitoring_routes(operations), *_operator_routes(operations), *further]
    return _application(routes, Middleware(AccessControl, policy=policy))


def _application(routes: list[Route], *middleware: Middleware) -> Starlette:
    return Starlette(
        routes=routes,
        middleware=list(middleware),
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )


def _monitoring_routes(operations: Operations) -> list[Route]:
    scrapes = Scrapes(operations.metrics)

    async def metrics(request: Request) -> Response:
        content, media_type = await scrapes.get(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": media_type})

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        if operations.ready:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", HTTPStatus.SERVICE_UNAVAILABLE)

    return [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]


def _operator_routes(operations: Operations) -> list[Route]:
    async def status(_request: Request) -> Response:
        return JSONResponse(operations.status())

    async def sites(_request: Request) -> Response:
        return JSONResponse(operations.sites())

    async def upstreams(_request: Request) -> Response:
        return JSONResponse(operations.upstreams())

    async def limits(_request: Request) -> Response:
        return JSONResponse(operations.limits())

    async def configuration(_request: Request) -> Response:
        return JSONResponse(operations.configuration())

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document())

    async def reload(_request: Request) -> Response:
        outcome = await operations.reload("admin")
        if not outcome.accepted:
            return problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "the configuration was refused; the former one stays in use",
                faults=outcome.faults,
            )
        return JSONResponse({"generation": outcome.generation, "changes": list(outcome.changes)})

    async def upgrade(_request: Request) -> Response:
        before = operations.status()
        fault = await operations.upgrade()
        if fault:
            return problem(HTTPStatus.CONFLICT, f"the upgrade was refused, nothing has changed: {fault}")
        return JSONResponse({"upgrades": before["upgrades"]}, HTTPStatus.ACCEPTED)

    return [
        Route(f"{_API}/status", status),
        Route(f"{_API}/sites", sites),
        Route(f"{_API}/upstreams", upstreams),
        Route(f"{_API}/limits", limits),
        Route(f"{_API}/config", configuration),
        Route(f"{_API}/openapi.json", openapi),
        Route(f"{_API}/reload", reload, methods=["POST"]),
        Route(f"{_API}/upgrade", upgrade, methods=["POST"]),
    ]


async def _refused(request: Request, exc: Exception) -> Response:
    status = HTTPStatus(exc.status_code if isinstance(exc, HTTPException) else 500)
    details = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.url.path}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible at {request.url.path}",
    }
    answer = problem(status, details.get(status, status.description))
    if isinstance(exc, HTTPException) and exc.headers:
        answer.headers.update(exc.headers)
    return answer


async def _failed(_request: Request, _exc: Exception) -> Response:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of Foregate's own; its log says more")
