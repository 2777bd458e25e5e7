"""Variables are put into strings, whatever they hold, and into nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.config.errors import Fault
from proxy.config.interpolation import interpolate, mentions_variable
from proxy.config.schema import Config

ENVIRON = {
    "NAME": "value",
    "EMPTY": "",
    "QUOTES": '"]\n[server]\nhttp = ["',
    "NESTED": "${NAME}",
    "DOLLAR": "$",
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b $x}", "a:-b $x"),
        ("${NAME:-default}", "value"),
        ("${NESTED}", "${NAME}"),
        ("${QUOTES}", ENVIRON["QUOTES"]),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME and $$ and $", "$NAME and $$ and $"),
        ("${DOLLAR}{NAME}", "${NAME}"),
        ("{NAME}", "{NAME}"),
    ],
)
def test_strings(text: str, result: str) -> None:
    assert interpolate({"key": text}, ENVIRON) == ({"key": result}, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${MISSING}", "the environment variable MISSING to be set"),
        ("${}", "${NAME} or ${NAME:-default}"),
        ("${NAME", "${NAME} or ${NAME:-default}"),
        ("${1A}", "${NAME} or ${NAME:-default}"),
        ("${NA ME}", "${NAME} or ${NAME:-default}"),
        ("${NAME-x}", "${NAME} or ${NAME:-default}"),
        ("${A:-${B}}", "${NAME} or ${NAME:-default}"),
        ("${NÄME}", "${NAME} or ${NAME:-default}"),
        ("${BYTES}", "text in the environment variable BYTES"),
    ],
)
def test_strings_refused(text: str, expected: str) -> None:
    values, findings = interpolate({"key": [text, "x"]}, {**ENVIRON, "BYTES": "\udcff"})
    assert values == {"key": [text, "x"]}
    assert [(finding.path, finding.expected) for finding in findings] == [(("key", 0), expected)]


def test_only_string_values_are_looked_into() -> None:
    document: dict[str, Any] = {"${NAME}": 1, "list": ["${NAME}", 2, True, {"x": "${NAME}"}], "other": 2.5}
    values, findings = interpolate(document, ENVIRON)
    assert values == {"${NAME}": 1, "list": ["value", 2, True, {"x": "value"}], "other": 2.5}
    assert not findings
    assert document["list"][0] == "${NAME}"


def test_what_lies_absurdly_deep_is_left_alone() -> None:
    document: dict[str, Any] = {"key": "${NAME}"}
    for _ in range(5_000):
        document = {"key": document}
    values, findings = interpolate(document, ENVIRON)
    assert values["key"]
    assert not findings


def test_variables_are_told_from_literals() -> None:
    assert mentions_variable("${NAME}")
    assert mentions_variable("x${NAME:-}")
    assert not mentions_variable("$${NAME}")
    assert not mentions_variable("$NAME")
    assert not mentions_variable(3)


def test_a_variable_cannot_add_keys(parsed: Callable[..., Config]) -> None:
    config = parsed('[tls]\nstorage = "${QUOTES}x"', ENVIRON)
    assert config.tls.storage == ENVIRON["QUOTES"] + "x"
    assert len(config.server.http) == 1


def test_what_came_from_a_variable_is_told(faults: Callable[..., list[Fault]]) -> None:
    [fault] = faults('[limits]\nbody = "${SIZE}"', {"SIZE": "10 bananas"})
    assert fault.found == '"10 bananas" from "${SIZE}"'
    [fault] = faults('[server]\nworkers = "${WORKERS:-4}"')
    assert fault.hint == "a variable gives a string, and this key takes none: write it literally"


def test_secrets_are_not_told(fault_lines: Callable[..., list[str]]) -> None:
    lines = fault_lines(
        '[server]\nadmin_token = "${TOKEN}"\n[tls]\neab_hmac_key = "geheim geheim"\n[[site]]\n'
        'domains = ["b.example.com"]\nupstream = "http://b"\n'
        'set_request_headers = {X-Key = "geheim\\n", X-B = "${X}geheim"}',
        {"TOKEN": "geheim geheim"},
    )
    assert len(lines) == 4
    assert "geheim" not in "\n".join(lines)
