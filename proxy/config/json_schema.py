"""The JSON Schema of `proxy.toml`, for editors: every key with its meaning, its form and its default."""

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from proxy.config import render
from proxy.config.schema import Config, Route, Upstream
from proxy.config.site_tables import INHERITED, Document

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REQUIRED: Final = {"Site": ["domains"], "Route": ["path"], "Upstream": ["url"]}
_PREFIX: Final = "#/$defs/"


def schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12). A string may hold a variable, so forms are loose where `${` occurs."""
    generated = Document.model_json_schema(ref_template=f"{_PREFIX}{{model}}")
    tables = {name.removesuffix("Table"): _tidy(table) for name, table in generated.pop("$defs").items()}
    for name, defaults in _defaults().items():
        for key, value in defaults.items():
            if key in tables[name]["properties"]:
                tables[name]["properties"][key]["default"] = value
    for name, keys in _REQUIRED.items():
        tables[name]["required"] = keys
    _several_ways_to_write(tables["Site"]["properties"], tables["Route"]["properties"])
    _override(tables)
    root = _tidy(generated) | {"$defs": tables, "required": ["site"]}
    root["properties"]["site"]["minItems"] = 1
    return {"$schema": _DIALECT, "title": "Foregate configuration (proxy.toml)", **root}


def default_of(table: str, key: str) -> Any:
    """Return the default of a key in the form of the file, or None where there is none."""
    return _defaults().get(table, {}).get(key)


def _defaults() -> dict[str, dict[str, Any]]:
    """Return the defaults of every table; a route's are its site's."""
    config = Config()
    sections = {
        "".join(word.capitalize() for word in name.split("_")): getattr(config, name)
        for name in render.TABLES
    }
    defaults = {name: render.table(values, mask=False) for name, values in sections.items()}
    defaults["Server"]["admin"] = render.document(config, mask=False)["server"]["admin"]
    defaults["Site"] = _without(Route(), "path", "upstream", "strip_prefix", "own_rate", *INHERITED)
    defaults["Route"] = {"strip_prefix": Route().strip_prefix}
    defaults["Upstream"] = {key: getattr(Upstream(scheme="http"), key) for key in ("weight", "backup")}
    return defaults


def _without(values: "DataclassInstance", *keys: str) -> dict[str, Any]:
    return {key: value for key, value in render.table(values, mask=False).items() if key not in keys}


def _tidy(table: dict[str, Any]) -> dict[str, Any]:
    """Take out what pydantic makes of Python names, and bring references to their short names."""
    table = _with_short_references({key: value for key, value in table.items() if key != "title"})
    for properties in table["properties"].values():
        properties.pop("title", None)
        properties.pop("default", None)
    return table


def _with_short_references(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: value.removesuffix("Table") if key == "$ref" else _with_short_references(value)
            for key, value in node.items()
        }
    return [_with_short_references(item) for item in node] if isinstance(node, list) else node


def _several_ways_to_write(*tables: dict[str, Any]) -> None:
    """Allow a URL alone, a table alone, and a list of both for upstreams."""
    for properties in tables:
        tabled = properties["upstream"].pop("items")
        url = {"type": "string"}
        properties["upstream"].pop("type")
        properties["upstream"]["anyOf"] = [url, tabled, {"type": "array", "items": {"anyOf": [url, tabled]}}]


def _override(tables: dict[str, Any]) -> None:
    """Give sites and routes tables without defaults: what they do not say is inherited."""
    for owner in ("Site", "Route"):
        for key in (*INHERITED, "tls"):
            reference = tables[owner]["properties"].get(key)
            if reference is None:
                continue
            name = reference["$ref"].removeprefix(_PREFIX)
            override = f"{name}Override"
            tables[override] = deepcopy(tables[name])
            for properties in tables[override]["properties"].values():
                properties.pop("default", None)
            reference["$ref"] = f"{_PREFIX}{override}"
