"""Every piece of proxy.toml in the documentation is valid; a part is completed to a whole file."""

import re
import tomllib

import pytest

from proxy.config.loader import parse
from tests.fakes.pages import Snippet, configurations

_MINIMAL = {"domains": 'domains = ["app.example.com"]', "upstream": 'upstream = "http://app:3000"'}


def completed(text: str) -> str:
    """Return a whole file around a part of one."""
    if "[[site]]" in text:
        return text
    head = text[: match.start()] if (match := re.search(r"(?m)^ *\[", text)) else text
    own = tomllib.loads(head)
    if own or re.search(r"(?m)^ *\[\[?site\.", text):
        lines = [
            line
            for key, line in _MINIMAL.items()
            if key not in own and not (key == "upstream" and "redirect" in own)
        ]
        return "\n".join(("[[site]]", *lines, text))
    return "\n".join((text, "[[site]]", *_MINIMAL.values()))


@pytest.mark.parametrize("snippet", configurations(), ids=str)
def test_a_configuration_is_valid(snippet: Snippet) -> None:
    if snippet.excepted:
        return
    names = re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", snippet.text)
    environ = dict.fromkeys(names, "x" * 32)
    parse(completed(snippet.text).encode(), path=str(snippet), environ=environ)


def test_there_are_configurations_to_look_at() -> None:
    assert len(configurations()) > 12
