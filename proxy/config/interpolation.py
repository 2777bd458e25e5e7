"""Environment variables in string values: ${NAME}, ${NAME:-default}, and $${ for a literal ${.

Strings are taken apart after TOML has been parsed, so that no variable can add a quote, a key or a table; and
what a variable holds is never looked into again.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.config.errors import UnacceptableError
from proxy.config.findings import Finding, Path, is_secret, show

_REFERENCE: Final = re.compile(r"\$(\$\{)|\$\{([^{}]*)\}|\$\{")
_CONTENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})(?::-(.*))?", re.DOTALL)
# No key of the schema lies nearly so deep; what does is refused as unknown, whatever is in it.
_DEEPEST: Final = 16


def interpolate(document: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Finding]]:
    """Return a copy with all variables put in, and what was wrong with any of them."""
    findings: list[Finding] = []
    result = _interpolate(document, (), environ, findings)
    return result, findings


def mentions_variable(text: object) -> bool:
    """Tell whether a value as written refers to a variable."""
    return isinstance(text, str) and any(match[1] is None for match in _REFERENCE.finditer(text))


def _interpolate(value: Any, path: Path, environ: Mapping[str, str], findings: list[Finding]) -> Any:
    if len(path) > _DEEPEST:
        return value
    match value:
        case dict():
            return {key: _interpolate(item, (*path, key), environ, findings) for key, item in value.items()}
        case list():
            return [_interpolate(item, (*path, index), environ, findings) for index, item in enumerate(value)]
        case str() if "${" in value:
            try:
                return "".join(_parts(value, environ))
            except UnacceptableError as error:
                found = "a secret" if is_secret(path) else show(value)
                findings.append(Finding(path, found, error.expected, error.hint))
                return value
        case _:
            return value


def _parts(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    position = 0
    for match in _REFERENCE.finditer(text):
        yield text[position : match.start()]
        position = match.end()
        yield "${" if match[1] else _resolve(match[2], environ)
    yield text[position:]


def _resolve(content: str | None, environ: Mapping[str, str]) -> str:
    match = _CONTENT.fullmatch(content) if content is not None else None
    if match is None:
        hint = "a default has no braces in it; write $${ for a literal ${"
        raise UnacceptableError("${NAME} or ${NAME:-default}", hint)
    name, default = match[1], match[2]
    value = environ.get(name)
    if not value and default is not None:
        return default
    if value is None:
        raise UnacceptableError(
            f"the environment variable {name} to be set", f"set it, or write ${{{name}:-default}}"
        )
    if not _is_text(value):
        raise UnacceptableError(f"text in the environment variable {name}", "it is not UTF-8")
    return value


def _is_text(value: str) -> bool:
    """Tell whether a string can be written as UTF-8; what the system hands over need not be."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
