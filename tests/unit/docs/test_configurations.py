"""Every piece of proxy.toml in the documentation is valid; a part is completed to a whole file."""

import re
import tomllib
from collections.abc import Iterator

import pytest

from proxy.config.errors import ConfigError
from proxy.config.loader import parse
from proxy.config.site_tables import Document, RouteTable, SiteTable, UpstreamTable
from proxy.config.unknown_keys import table_class
from tests.fakes.pages import ROOT, Snippet, configurations, pages

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


def _lines() -> list[tuple[str, str]]:
    """Return the assignments that stand in the text, such as `ttl = "0s"`, with their page."""
    found = []
    for page in pages():
        for text in re.findall(r"(?<!`)`([a-z_]+ *= [^`\n]+)`(?!`)", page.read_text(encoding="utf-8")):
            if "..." not in text and " = " in text and "\\" not in text:
                found.append((str(page.relative_to(ROOT)), text))
    return found


# Keys that are not allowed alone.
_COMPANIONS = {
    'mode = "files"': 'certificate = "c"\nprivate_key = "k"\n',
    "eab_kid": 'eab_hmac_key = "a2V5"\n',
    "eab_hmac_key": 'eab_kid = "k"\n',
    "admin": 'admin_token = "0123456789abcdef"\n',
}


def _around(text: str) -> Iterator[str]:
    """Yield whole files with an assignment in each place where its key belongs."""
    key = text.partition("=")[0].strip()
    if key in SiteTable.model_fields:
        yield completed(text + ('\ntls = { mode = "self-signed" }' if '"*"' in text else ""))
    elif key in RouteTable.model_fields:
        path = "" if key == "path" else 'path = "/x/"\n'
        yield f"[[site]]\n{_MINIMAL['domains']}\n{_MINIMAL['upstream']}\n[[site.route]]\n{path}{text}"
    for name, field in Document.model_fields.items():
        table = table_class(field.annotation)
        if table is not None and table is not SiteTable and key in table.model_fields:
            companion = _COMPANIONS.get(text, _COMPANIONS.get(key, ""))
            yield completed(f"[{name}]\n{companion}{text}\n")
    if key in UpstreamTable.model_fields:
        url = "" if key == "url" else 'url = "http://a", '
        others = ', { url = "http://b" }' if key == "backup" else ""
        yield completed(f"upstream = [{{ {url}{text} }}{others}]")


def test_assignments_in_the_text_are_valid() -> None:
    lines = _lines()
    assert len(lines) > 100
    for page, text in lines:
        environ = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", text), "x" * 32)
        faults = []
        for whole in _around(text):
            try:
                parse(whole.encode(), path=f"{page}: {text}", environ=environ)
                break
            except ConfigError as exc:
                faults.append(str(exc))
        else:
            raise AssertionError("\n".join(faults) or f"{page}: {text}: no key of proxy.toml")
