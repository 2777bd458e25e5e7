"""Answers that say what is wrong, for programs: application/problem+json (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import JSONResponse


def problem(status: HTTPStatus, detail: str, *, faults: Sequence[str] = ()) -> JSONResponse:
    """Build a problem answer; `faults` lists what is wrong one by one."""
    body: dict[str, object] = {"title": status.phrase, "status": status.value, "detail": detail}
    if faults:
        body["faults"] = list(faults)
    return JSONResponse(body, status, media_type="application/problem+json")
