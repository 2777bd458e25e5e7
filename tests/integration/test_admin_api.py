"""The admin API is what its OpenAPI document says, request by request, and tells no secret."""

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.routing import Route

from proxy.admin.access import AccessPolicy
from proxy.admin.application import operator_application
from proxy.admin.cache import cache_routes
from proxy.admin.certificates import certificate_routes
from proxy.admin.openapi import OPERATIONS, document
from tests.fakes.foregate import ROOT, Foregate, configuration
from tests.fakes.operations import FakeOperations
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

SECRETS = 'admin_token = "secret-token-of-the-admin"'
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def deviations(value: Any, schema: Mapping[str, Any], place: str = "$") -> Iterator[str]:
    """Say where a document deviates from the part of JSON Schema that ours uses."""
    if "anyOf" in schema:
        if all(list(deviations(value, one, place)) for one in schema["anyOf"]):
            yield f"{place}: {value!r} is none of what is allowed"
        return
    if not isinstance(value, TYPES[schema["type"]]) or (
        schema["type"] != "boolean" and isinstance(value, bool)
    ):
        yield f"{place}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is not in {schema['enum']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from deviations(item, schema["items"], f"{place}[{number}]")
    if isinstance(value, dict):
        yield from _deviating_members(value, schema, place)


def _deviating_members(value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place}.{name} is missing"
    for name, member in value.items():
        known = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
        if known is False:
            yield f"{place}.{name} is not documented"
        elif known:
            yield from deviations(member, known, f"{place}.{name}")


def answered(gate: Foregate, method: str, path: str) -> tuple[int, list[str]]:
    """Ask, and compare the answer with the document; return status and deviations."""
    operation = document()["paths"][path][method]
    status, answer = gate.admin(method.upper(), path.replace("{name}", "a.test"))
    (media,) = operation["responses"][str(status)]["content"].values()
    schema = media["schema"]
    if "$ref" in schema:
        schema = document()["components"]["schemas"]["Problem"]
    return status, list(deviations(answer, schema))


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    further = (*certificate_routes(None), *cache_routes(None))  # type: ignore[arg-type]  # they are not asked
    application = operator_application(FakeOperations(), AccessPolicy, further)
    routes = {
        (method.lower(), route.path)
        for route in application.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(one.method, one.path) for one in OPERATIONS} == routes


def test_every_answer_has_the_documented_shape(start_foregate: StartForegate, origin: Origin) -> None:
    text = configuration(origin.url, workers=1, server=SECRETS)
    text = text.replace(
        'mode = "off"', 'mode = "self-signed"\neab_kid = "kid"\neab_hmac_key = "c2VjcmV0LWtleQ"'
    )
    text = text.replace('domains = ["*"]', 'domains = ["a.test"]\nhealth = "/healthz"')
    text = text.replace("https = []", 'https = ["127.0.0.1:0"]')
    gate = start_foregate(text)
    gate.wait_serving(1)
    assert gate.get("/", Host="a.test")[0] in (200, 308)
    json_ones = [one for one in OPERATIONS if one.answer is not None and not one.path.endswith("upgrade")]
    outcomes = {f"{one.method} {one.path}": answered(gate, one.method, one.path) for one in json_ones}
    assert {name: found for name, (_, found) in outcomes.items() if found} == {}
    assert {status for status, _ in outcomes.values()} == {200}
    gate.file.write_text("nonsense")
    assert answered(gate, "post", "/api/v1/reload") == (422, [])
    assert answered(gate, "get", "/api/v1/status") == (200, [])
    shown = str(
        [gate.admin("GET", one.path) for one in json_ones if one.method == "get" and "{" not in one.path]
    )
    assert [secret for secret in ("secret-token", "c2VjcmV0LWtleQ") if secret in shown] == []


def test_the_page_names_every_operation() -> None:
    page = (ROOT / "docs" / "admin-api.md").read_text()
    assert [one.path for one in OPERATIONS if f"`{one.method.upper()} {one.path}`" not in page] == []
