"""The admin API described for programs (OpenAPI 3.1): what there is, and the shape of each answer."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from proxy import __version__

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_NUMBER: Final[Schema] = {"type": "number"}
_FLAG: Final[Schema] = {"type": "boolean"}
_ANY_OBJECT: Final[Schema] = {"type": "object"}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}


def _object(**members: Schema) -> Schema:
    """Describe an object that has exactly these members."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _each(of: Schema) -> Schema:
    """Describe an object whose members' names are not fixed."""
    return {"type": "object", "additionalProperties": of}


def _or_null(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "null"}]}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_FIGURES: Final = {
    "requests": _WHOLE,
    "hit_ratio": _or_null(_NUMBER),
    "limited": _WHOLE,
    "received_bytes": _WHOLE,
    "sent_bytes": _WHOLE,
}
_LIMITED_CLIENTS: Final = _list(_object(client=_TEXT, refused=_WHOLE, error=_WHOLE))
_PROBLEM: Final = _object(
    reason=_TEXT, what_is_wrong=_TEXT, what_to_do=_TEXT, detail=_TEXT, next_attempt=_or_null(_MOMENT)
)
_CERTIFICATE: Final = _object(
    name=_TEXT,
    names=_list(_TEXT),
    mode=_one_of("acme", "self-signed", "files"),
    state=_one_of("absent", "issuing", "valid", "due", "backoff", "expired"),
    issuer=_TEXT,
    not_before=_or_null(_MOMENT),
    not_after=_or_null(_MOMENT),
    renews_at=_or_null(_MOMENT),
    renews_because=_TEXT,
    next_attempt=_or_null(_MOMENT),
    failures=_WHOLE,
    saved=_FLAG,
    removed_at=_or_null(_MOMENT),
    erased_at=_or_null(_MOMENT),
    problem=_or_null(_PROBLEM),
)
_CERTIFICATES: Final = {"certificates": _list(_CERTIFICATE), "storage_problems": _list(_PROBLEM)}
_WORKER: Final = _object(
    slot=_WHOLE,
    pid=_WHOLE,
    state=_one_of("starting", "serving", "draining"),
    started=_MOMENT,
    connections=_WHOLE,
    resident_bytes=_WHOLE,
)
_UPSTREAM: Final[Schema] = {
    "anyOf": [
        _object(name=_TEXT, addresses=_list(_TEXT), fault=_TEXT),
        _object(name=_TEXT, address=_TEXT, healthy=_FLAG, reason=_TEXT),
    ]
}
_STATUS: Final = _object(
    version=_TEXT,
    build=_object(
        form=_one_of("compiled", "sources"), python=_TEXT, openssl=_TEXT, uvloop=_TEXT, platform=_TEXT
    ),
    pid=_WHOLE,
    state=_one_of("starting", "serving", "draining"),
    user=_TEXT,
    started=_MOMENT,
    upgrades=_WHOLE,
    upgrading=_FLAG,
    uptime_seconds=_NUMBER,
    configuration=_object(file=_TEXT, generation=_WHOLE, loaded=_MOMENT, last_reload_faults=_list(_TEXT)),
    listeners=_list(
        _object(purpose=_one_of("http", "https", "metrics", "admin"), configured=_TEXT, address=_TEXT)
    ),
    workers=_list(_WORKER),
    worker_exits=_each(_WHOLE),
    traffic=_object(**_FIGURES, requests_per_second=_NUMBER, connections=_object(http=_WHOLE, https=_WHOLE)),
    upstreams=_list(_UPSTREAM),
    limited_clients=_LIMITED_CLIENTS,
    alarms=_list(_TEXT),
    **_CERTIFICATES,
)
_SITE: Final = _object(name=_TEXT, domains=_list(_TEXT), routes=_list(_TEXT), **_FIGURES)
_CACHE: Final = _object(
    size_bytes=_WHOLE,
    stored_bytes=_WHOLE,
    largest_object_bytes=_WHOLE,
    evictions=_WHOLE,
    busy=_WHOLE,
    sites=_list(_object(name=_TEXT, requests=_each(_WHOLE), stored=_WHOLE, reasons=_each(_WHOLE))),
)
_LIMITS: Final = _object(minutes=_WHOLE, clients=_LIMITED_CLIENTS)
_FAULTY: Final[Schema] = {
    **_object(title=_TEXT, status=_WHOLE, detail=_TEXT, faults=_list(_TEXT)),
    "required": ["title", "status", "detail"],
}
_DIAGNOSIS: Final[Schema] = _object(name=_TEXT, problems=_list(_PROBLEM), notes=_list(_TEXT))


@dataclass(frozen=True, slots=True)
class Operation:
    """One request: its answer's shape, the status of success, and those of refusals; None: an answer in text."""

    method: str
    path: str
    summary: str
    answer: Schema | None
    success: HTTPStatus = HTTPStatus.OK
    refusals: tuple[HTTPStatus, ...] = ()
    query: tuple[str, ...] = ()


_UNKNOWN, _CONFLICT = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
_UNREADY = HTTPStatus.SERVICE_UNAVAILABLE
_OF_ONE: Final = "/api/v1/certificates/{name}"
OPERATIONS: Final = (
    Operation("get", "/api/v1/status", "What `foregate status` shows", _STATUS),
    Operation("get", "/api/v1/sites", "Every site with its domains, routes and figures", _list(_SITE)),
    Operation(
        "get",
        "/api/v1/upstreams",
        "Names with their addresses, and addresses with their health",
        _list(_UPSTREAM),
    ),
    Operation(
        "get",
        "/api/v1/certificates",
        "Every certificate, and what is wrong with it",
        _object(**_CERTIFICATES),
    ),
    Operation("get", "/api/v1/limits", "The clients that were limited most in the last minutes", _LIMITS),
    Operation("get", "/api/v1/cache", "How full the cache is, and what it did", _CACHE),
    Operation(
        "get", "/api/v1/config", "The configuration in use as proxy.toml has it, secrets masked", _ANY_OBJECT
    ),
    Operation("get", "/api/v1/openapi.json", "This document", _ANY_OBJECT),
    Operation(
        "post",
        "/api/v1/purge",
        "Make void what is cached: everything, or of a site, or under a path",
        _object(site=_or_null(_TEXT), path=_or_null(_TEXT)),
        refusals=(HTTPStatus.BAD_REQUEST, _UNKNOWN, _UNREADY),
        query=("site", "path"),
    ),
    Operation(
        "post",
        "/api/v1/reload",
        "Read the configuration anew, and use it if it is good",
        _object(generation=_WHOLE, changes=_list(_TEXT)),
        refusals=(HTTPStatus.UNPROCESSABLE_ENTITY,),
    ),
    Operation(
        "post",
        "/api/v1/upgrade",
        "Replace the running program by the one that is installed now, after a trial start",
        _object(upgrades=_WHOLE),
        HTTPStatus.ACCEPTED,
        (_CONFLICT,),
    ),
    Operation(
        "post",
        f"{_OF_ONE}/renew",
        "Order a new certificate now, and wait",
        _CERTIFICATE,
        refusals=(_UNKNOWN, _CONFLICT),
    ),
    Operation(
        "post",
        f"{_OF_ONE}/restore",
        "Go back to the certificate before the present one",
        _CERTIFICATE,
        refusals=(_UNKNOWN, _CONFLICT),
    ),
    Operation(
        "get",
        f"{_OF_ONE}/diagnosis",
        "Find out why a domain gets no certificate",
        _DIAGNOSIS,
        refusals=(_UNKNOWN,),
    ),
    Operation("get", "/metrics", "Figures for Prometheus", None),
    Operation("get", "/healthz", "Answers while the process runs", None),
    Operation("get", "/readyz", "200 while connections are served", None, refusals=(_UNREADY,)),
)


def document() -> Schema:
    """Build the whole document."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Foregate admin API", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _FAULTY},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],  # a unix socket needs none
    }


def _described(operation: Operation) -> Schema:
    media = "text/plain" if operation.answer is None else "application/json"
    success = {
        "description": operation.success.phrase,
        "content": {media: {"schema": operation.answer or _TEXT}},
    }
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    refusals: dict[str, Schema] = {
        str(status.value): {
            "description": status.phrase,
            "content": {"application/problem+json": reference} if operation.answer else {"text/plain": {}},
        }
        for status in operation.refusals
    }
    parameters: list[Schema] = [{"name": name, "in": "query", "schema": _TEXT} for name in operation.query]
    if "{name}" in operation.path:
        parameters.append({"name": "name", "in": "path", "required": True, "schema": _TEXT})
    return {
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {str(operation.success.value): success, **refusals},
    }
