"""/etc/letsencrypt: lineages, how they are renewed, accounts."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.importing.certbot import read_certbot
from proxy.importing.draft import Draft, Outcome
from proxy.importing.errors import ImportRefusedError
from tests.fakes.certificates import ODD_NAMES, Authority

RENEWAL = """# renew_before_expiry = 30 days
version = 2.1.0
archive_dir = /etc/letsencrypt/archive/NAME
fullchain = /etc/letsencrypt/live/NAME/fullchain.pem
# Options used in the renewal process
[renewalparams]
account = c0abbb93a768f260fb3b1a8cc84b0c77
authenticator = webroot
webroot_path = /srv/www,
server = SERVER
key_type = ecdsa
[[webroot_map]]
NAME = /srv/www
"""
LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def lineage(root: Path, name: str, *names: str, server: str = LETSENCRYPT, more: str = "") -> None:
    """Write a lineage as certbot does, live/ being links into archive/."""
    root.mkdir(exist_ok=True)
    pair = Authority(root).pair(*names)
    for folder in ("renewal", f"live/{name}", f"archive/{name}"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for kind, content in (("fullchain", pair.chain), ("privkey", pair.key)):
        (root / "archive" / name / f"{kind}1.pem").write_bytes(content)
        (root / "live" / name / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}1.pem")
    text = RENEWAL.replace("NAME", name).replace("SERVER", server).replace("key_type", f"{more}\nkey_type")
    (root / "renewal" / f"{name}.conf").write_text(text)


def account(root: Path, jwk: dict[str, str], body: dict[str, list[str]] | None = None) -> None:
    folder = root / "accounts" / "acme-v02.api.letsencrypt.org" / "directory" / "c0abbb93"
    folder.mkdir(parents=True)
    (folder / "private_key.json").write_text(json.dumps(jwk))
    (folder / "regr.json").write_text(json.dumps({"body": body or {}, "uri": "https://ca.example/acct/1"}))


def _imported(root: Path) -> Draft:
    draft = Draft()
    read_certbot([root], draft, "http://app:3000")
    return draft


def test_a_lineage_without_names_is_told(tmp_path: Path) -> None:
    lineage(tmp_path, "a.example.com", "a.example.com")
    odd = Authority(tmp_path).odd_pair(ODD_NAMES[0])
    for kind, content in (("fullchain", odd.chain), ("privkey", odd.key)):
        (tmp_path / "live" / "a.example.com" / f"{kind}.pem").write_bytes(content)
    notes = [str(note) for note in _imported(tmp_path).notes.of(Outcome.LEFT_OUT)]
    assert f"{tmp_path}/live/a.example.com: certificate: no name in it can be read" in notes


def test_a_site_for_each_lineage(tmp_path: Path) -> None:
    lineage(tmp_path, "a.example.com", "a.example.com", "www.a.example.com")
    lineage(
        tmp_path,
        "b.example.com",
        "b.example.com",
        server="https://acme-staging-v02.api.letsencrypt.org/directory",
    )
    draft = _imported(tmp_path)
    assert draft.sites == [
        {"domains": ["a.example.com", "www.a.example.com"], "upstream": "http://app:3000"},
        {
            "domains": ["b.example.com"],
            "upstream": "http://app:3000",
            "tls": {"directory": "letsencrypt-staging"},
        },
    ]
    assert [c.directory for c in draft.certificates] == [
        LETSENCRYPT,
        LETSENCRYPT.replace("acme", "acme-staging", 1),
    ]
    assert [n.subject for n in draft.notes.of(Outcome.LEFT_OUT)] == ["upstream"]


def test_wildcards_hooks_and_dns(tmp_path: Path) -> None:
    more = "renew_hook = systemctl reload nginx\npreferred_chain = ISRG Root X1"
    lineage(tmp_path, "a", "a.example.com", "*.a.example.com", more=more)
    conf = tmp_path / "renewal" / "a.conf"
    conf.write_text(conf.read_text().replace("webroot\n", "dns-cloudflare\n"))
    draft = _imported(tmp_path)
    assert draft.sites[0]["domains"] == ["a.example.com"]
    left = [note.subject for note in draft.notes.of(Outcome.LEFT_OUT)]
    assert left[:-1] == [
        "*.a.example.com",
        "renew_hook",
        "preferred_chain = ISRG Root X1",
    ]
    assert [n.subject for n in draft.notes.of(Outcome.CHANGED)] == ["authenticator dns-cloudflare"]


def test_a_lineage_whose_files_are_gone(tmp_path: Path) -> None:
    lineage(tmp_path, "a", "a.example.com")
    lineage(tmp_path, "b", "b.example.com")
    (tmp_path / "archive" / "a" / "privkey1.pem").unlink()
    (tmp_path / "archive" / "b" / "fullchain1.pem").write_text("nothing")
    draft = _imported(tmp_path)
    assert draft.sites == []
    assert [note.subject for note in draft.notes.of(Outcome.LEFT_OUT)][:2] == ["certificate", "certificate"]


def _jwk(curve: ec.EllipticCurve, name: str) -> dict[str, str]:
    secret = ec.generate_private_key(curve).private_numbers().private_value
    octets = base64.urlsafe_b64encode(secret.to_bytes(32, "big")).rstrip(b"=").decode()
    return {"kty": "EC", "crv": name, "d": octets, "x": "", "y": ""}


def test_an_account_on_p256(tmp_path: Path) -> None:
    lineage(tmp_path, "a", "a.example.com")
    account(tmp_path, _jwk(ec.SECP256R1(), "P-256"), {"contact": ["mailto:ops@example.com"]})
    draft = _imported(tmp_path)
    assert [(a.uri, a.directory) for a in draft.accounts] == [("https://ca.example/acct/1", LETSENCRYPT)]
    assert draft.document["tls"] == {"email": "ops@example.com"}


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        ({"kty": "RSA", "n": "x", "e": "AQAB"}, "it is a key of kind RSA, and Foregate's are on P-256"),
        ({"kty": "EC", "crv": "P-384"}, "it is a key of kind EC, and Foregate's are on P-256"),
        ({"kty": "EC", "crv": "P-256", "d": ""}, "the key cannot be read"),
        ({}, "the key cannot be read"),
    ],
)
def test_an_account_with_another_key(tmp_path: Path, jwk: dict[str, str], reason: str) -> None:
    lineage(tmp_path, "a", "a.example.com")
    account(tmp_path, jwk)
    draft = _imported(tmp_path)
    assert draft.accounts == []
    assert (
        draft.notes.of(Outcome.LEFT_OUT)[0].reason
        == f"{reason}; Foregate registers an account of its own, which costs nothing"
    )


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="neither renewal/NAME"):
        _imported(tmp_path)
