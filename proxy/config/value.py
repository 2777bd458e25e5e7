"""What pydantic knows about a value: the function that reads it, and how it is described."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

JsonSchema = dict[str, Any]

# Any string may be an environment variable, which an editor cannot look into.
_INTERPOLATED: JsonSchema = {"type": "string", "pattern": r"\$\{"}


@dataclass(frozen=True, slots=True)
class Value:
    """A kind of value: stands in `Annotated[type, Value(...)]` of a table.

    `noun` names it in the documentation; `read` takes whatever TOML gave and raises UnacceptableError.
    Nothing is coerced anywhere: "yes" is no boolean, and 1 is not "1".
    """

    noun: str
    read: Callable[[object], Any]
    json_schema: JsonSchema = field(default_factory=lambda: {"type": "string"})

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(self.json_schema)


def pattern(expression: str) -> JsonSchema:
    """Describe a string of a certain form."""
    return {"type": "string", "pattern": rf"^({expression})$|\$\{{"}


def words(*choices: str) -> JsonSchema:
    """Describe one of a few words."""
    return {"anyOf": [{"type": "string", "enum": list(choices)}, _INTERPOLATED]}


def whole(least: int, most: int) -> JsonSchema:
    """Describe a whole number between two bounds."""
    return {"type": "integer", "minimum": least, "maximum": most}
