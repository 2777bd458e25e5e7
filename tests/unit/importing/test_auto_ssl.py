"""nginx-auto-ssl: its environment, its storage, its own nginx files."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from autocert.account import new_account
from proxy.importing.auto_ssl import read_auto_ssl
from proxy.importing.auto_ssl_names import exact_names, is_allowed
from proxy.importing.draft import Draft, Outcome
from tests.fakes.certificates import Authority

LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def stored(folder: Path, name: str, content: str | None = None) -> None:
    """Write a certificate as lua-resty-auto-ssl does."""
    place = folder / "storage" / "file"
    place.mkdir(parents=True, exist_ok=True)
    pair = Authority(folder).pair(name)
    held = {
        "fullchain_pem": pair.chain.decode(),
        "privkey_pem": pair.key.decode(),
        "cert_pem": "",
        "expiry": 1,
    }
    (place / quote(f"{name}:latest", safe="")).write_text(json.dumps(held) if content is None else content)


def _imported(environ: dict[str, str], *folders: Path, configs: tuple[Path, ...] = ()) -> Draft:
    draft = Draft()
    read_auto_ssl(environ, folders, configs, draft, "http://app:3000")
    return draft


def _sites(draft: Draft) -> list[tuple[list[str], str]]:
    return [(site["domains"], site["upstream"]) for site in draft.sites]


def test_sites(tmp_path: Path) -> None:
    stored(tmp_path, "one.app.example.com")
    stored(tmp_path, "other.example.com")
    sites = "db.example.com=localhost:5432; *.app.example.com=https://localhost:8080/ ;_=localhost:9000;"
    draft = _imported({"SITES": sites}, tmp_path)
    assert _sites(draft) == [
        (["db.example.com"], "http://localhost:5432"),
        (["one.app.example.com"], "http://localhost:8080/"),
        (["other.example.com"], "http://localhost:9000"),
    ]
    assert len(draft.certificates) == 2
    assert {note.subject for note in draft.notes.of(Outcome.CHANGED)} == {
        "*.app.example.com",
        "ALLOWED_DOMAINS",
    }


def test_allowed_domains_without_sites(tmp_path: Path) -> None:
    draft = _imported({"ALLOWED_DOMAINS": "(www|api).example.com"}, tmp_path)
    assert _sites(draft) == [(["www.example.com", "api.example.com"], "http://app:3000")]
    assert [n.subject for n in draft.notes.of(Outcome.LEFT_OUT)] == ["upstream of www.example.com"]


def test_names_that_are_no_longer_allowed_are_left(tmp_path: Path) -> None:
    stored(tmp_path, "old.example.com")
    draft = _imported({"ALLOWED_DOMAINS": "new.example.com"}, tmp_path)
    assert _sites(draft) == [(["new.example.com"], "http://app:3000")]
    assert draft.notes.of(Outcome.LEFT_OUT)[0].subject == "old.example.com"


@pytest.mark.parametrize(
    ("environ", "tables"),
    [
        ({"FORCE_HTTPS": "false"}, {"server": {"redirect_https": False}}),
        ({"FORCE_HTTPS": "true"}, {}),
        ({"LETSENCRYPT_URL": LETSENCRYPT}, {}),
        (
            {"LETSENCRYPT_URL": LETSENCRYPT.replace("acme", "acme-staging", 1)},
            {"tls": {"directory": "letsencrypt-staging"}},
        ),
    ],
)
def test_other_variables(environ: dict[str, str], tables: dict[str, Any]) -> None:
    draft = _imported({"SITES": "a.example.com=app:80", **environ})
    assert {name: table for name, table in draft.document.items() if name != "site"} == tables


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", "[" * 10_000])
def test_the_damaged_certificates_that_it_is_known_for(tmp_path: Path, content: str) -> None:
    stored(tmp_path, "a.example.com", content)
    draft = _imported({}, tmp_path)
    assert draft.certificates == []
    assert _sites(draft) == [(["a.example.com"], "http://app:3000")]
    assert "a new one is ordered instead" in draft.notes.of(Outcome.LEFT_OUT)[0].reason


def test_locks_are_nothing(tmp_path: Path) -> None:
    stored(tmp_path, "a.example.com")
    (tmp_path / "storage" / "file" / "a.example.com%3Aissue_cert_lock").write_text("f00")
    assert len(_imported({}, tmp_path).certificates) == 1


@pytest.mark.parametrize("ending", ["\n", ""])
def test_an_account_on_p256(tmp_path: Path, ending: str) -> None:
    name = base64.urlsafe_b64encode((LETSENCRYPT + ending).encode()).rstrip(b"=").decode()
    folder = tmp_path / "letsencrypt" / "accounts" / name
    folder.mkdir(parents=True)
    (folder / "account_key.pem").write_bytes(new_account().key_pem)
    draft = _imported({}, tmp_path)
    assert [(a.directory, a.uri) for a in draft.accounts] == [(LETSENCRYPT, "")]
    (folder / "account_id.json").write_text('{"url": "https://ca.example/acct/7"}')
    assert _imported({}, tmp_path).accounts[0].uri == "https://ca.example/acct/7"
    (folder / "account_key.pem").write_bytes(Authority(tmp_path).pair("x", key_type="rsa2048").key)
    draft = _imported({}, tmp_path)
    assert draft.accounts == []
    assert draft.notes.of(Outcome.LEFT_OUT)[0].reason.startswith("it is a key of kind RSA")


def test_its_own_nginx_files(tmp_path: Path) -> None:
    stored(tmp_path, "a.example.com")
    config = tmp_path / "server.conf"
    config.write_text(
        "server { listen 443 ssl default_server; include resty-server-https.conf;"
        "location / { proxy_pass http://app; } location /api { proxy_pass http://api; } }"
        "server { listen 80 default_server; include resty-server-http.conf; }"
    )
    draft = _imported({"ALLOWED_DOMAINS": "b.example.com"}, tmp_path, configs=(config,))
    (site,) = draft.sites
    assert site["domains"] == ["b.example.com"]
    assert site["upstream"] == "http://app"
    assert site["route"][0]["path"] == "/api"
    assert "tls" not in site


def test_a_plain_site_of_its_nginx_files_leaves_the_others_their_tls(tmp_path: Path) -> None:
    config = tmp_path / "plain.conf"
    config.write_text("server { listen 80; server_name p.example.com; location / { proxy_pass http://p; } }")
    draft = _imported({"SITES": "a.example.com=app:80"}, configs=(config,))
    assert "https" not in draft.document.get("server", {})
    assert [site.get("tls") for site in draft.sites] == [{"mode": "off"}, None]


@pytest.mark.parametrize(
    ("pattern", "names", "is_complete"),
    [
        ("", [], True),
        ("example.com", ["example.com"], True),
        ("^example\\.com$", ["example.com"], True),
        ("(www|api).Example.com", ["www.example.com", "api.example.com"], True),
        ("(www.)?example.com", ["www.example.com", "example.com"], True),
        ("a.example.com|b.example.com", ["a.example.com", "b.example.com"], True),
        (
            "(a|b).example.(com|org)",
            ["a.example.com", "a.example.org", "b.example.com", "b.example.org"],
            True,
        ),
        ("([a-z]+.)?example.com", ["example.com"], False),
        (".*", [], False),
        (".*.example.com", [], False),
        ("(a|b)" * 30, [], False),
        ("(" * 900, [], False),
    ],
)
def test_patterns(pattern: str, names: list[str], is_complete: bool) -> None:
    assert exact_names(pattern) == (names, is_complete)
    assert all(is_allowed(pattern, name) for name in names)
