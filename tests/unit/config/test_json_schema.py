"""The JSON Schema knows every key, its meaning and its default, and leaves room for variables."""

import json
import re
from typing import Any

import pytest

from proxy.config.json_schema import default_of, schema
from proxy.config.loader import parse
from proxy.config.render import toml_literal
from proxy.config.site_tables import Document, RouteTable, SiteTable, UpstreamTable

SCHEMA = schema()
TABLES: dict[str, dict[str, Any]] = SCHEMA["$defs"]


def test_it_is_plain_json_of_the_promised_dialect() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["required"] == ["site"]
    assert set(SCHEMA["properties"]) == set(Document.model_fields)


def test_every_reference_leads_somewhere() -> None:
    references = re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(SCHEMA))
    assert set(references) <= set(TABLES)
    assert set(TABLES) <= set(references)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_key_has_a_meaning_and_an_example(table: str) -> None:
    assert TABLES[table]["additionalProperties"] is False
    for key, properties in TABLES[table]["properties"].items():
        assert properties["description"].endswith("."), key
        assert properties["examples"], key
        assert "title" not in properties


def test_defaults_stand_at_the_top_level_and_not_where_values_are_inherited() -> None:
    assert TABLES["Cache"]["properties"]["ttl"]["default"] == "3s"
    assert "default" not in TABLES["CacheOverride"]["properties"]["ttl"]
    assert TABLES["Server"]["properties"]["admin"]["default"] == "unix:admin.sock"
    assert TABLES["Site"]["properties"]["balance"]["default"] == "least_connections"
    assert "default" not in TABLES["Route"]["properties"]["balance"]
    assert TABLES["Upstream"]["properties"]["weight"]["default"] == 1
    assert (default_of("Tls", "hsts"), default_of("Tls", "xyz")) == ("", None)


def test_required_keys() -> None:
    assert (TABLES["Site"]["required"], TABLES["Route"]["required"]) == (["domains"], ["path"])
    assert TABLES["Upstream"]["required"] == ["url"]


def test_strings_may_hold_variables() -> None:
    ttl = TABLES["Cache"]["properties"]["ttl"]["pattern"]
    for text, fits in (("3s", True), ("1h30m", True), ("${TTL:-3s}", True), ("3 s", False), ("", False)):
        assert bool(re.search(ttl, text)) is fits
    [words, variable] = TABLES["Tls"]["properties"]["mode"]["anyOf"]
    assert words["enum"] == ["acme", "self-signed", "files", "off"]
    assert re.search(variable["pattern"], "${MODE}")


@pytest.mark.parametrize("name", [name for name in Document.model_fields if name != "site"])
def test_every_example_is_valid(name: str) -> None:
    properties = TABLES["".join(word.capitalize() for word in name.split("_"))]["properties"]
    environ = {"ADMIN_TOKEN": "0123456789abcdef", "EAB_HMAC_KEY": "YWI"}
    for key, value in properties.items():
        [example] = value["examples"]
        text = f"[{name}]\n{key} = {toml_literal(example)}\n"
        text += {"eab_kid": 'eab_hmac_key = "YWI"', "eab_hmac_key": 'eab_kid = "x"'}.get(key, "")
        site = '\n[[site]]\ndomains = ["a.de"]\nupstream = "http://a"'
        parse((text + site).encode(), path="proxy.toml", environ=environ)


def test_every_example_of_a_site_is_valid() -> None:
    for table, header in (("Site", ""), ("Route", "[[site.route]]\npath = '/x'\n")):
        for key, value in TABLES[table]["properties"].items():
            if key in ("domains", "path"):
                continue
            [example] = value["examples"]
            site = '[[site]]\ndomains = ["a.de"]\n' + (
                "" if key == "upstream" and not header else "upstream = 'http://a'\n"
            )
            text = f"{site}{header}{key} = {toml_literal(example)}"
            parse(text.encode(), path="proxy.toml", environ={"API_KEY": "x"})


def test_patterns_accept_what_the_loader_does() -> None:
    urls = TABLES["Upstream"]["properties"]["url"]["pattern"]
    for text in ("http://a", "https://a:1/", "unix:/run/a", "http://[::1]:3"):
        assert re.search(urls, text)
    listen = TABLES["Server"]["properties"]["http"]["items"]["pattern"]
    for text in (":80", "[::1]:80", "127.0.0.1:8080"):
        assert re.search(listen, text)


def test_tables_of_the_schema_are_those_of_the_loader() -> None:
    assert set(TABLES["Site"]["properties"]) == set(SiteTable.model_fields)
    assert set(TABLES["Route"]["properties"]) == set(RouteTable.model_fields)
    assert set(TABLES["Upstream"]["properties"]) == set(UpstreamTable.model_fields)
