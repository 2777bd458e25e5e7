"""nginx-auto-ssl (openresty with lua-resty-auto-ssl) as a draft of proxy.toml: its environment and its folder.

Its certificates are JSON files under storage/file, one a name; dehydrated, which it runs, keeps accounts under
letsencrypt/accounts in a folder that is named after the CA's URL in base64url.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from proxy.config.addresses import parse_upstream
from proxy.config.errors import UnacceptableError
from proxy.config.schema import LETSENCRYPT_DIRECTORIES
from proxy.importing.account_keys import UnusableKeyError, from_pem
from proxy.importing.auto_ssl_names import exact_names, is_allowed
from proxy.importing.certbot import OWN_ACCOUNT
from proxy.importing.draft import Draft, FoundAccount, FoundCertificate, Table
from proxy.importing.lineages import LETSENCRYPT
from proxy.importing.nginx.reader import read_nginx
from proxy.importing.small_files import read_small

_SHORT_NAMES: Final = {url: name for name, url in LETSENCRYPT_DIRECTORIES.items()}
_NEEDLESS: Final = {
    "RESOLVER_ADDRESS": "Foregate asks the system's name servers",
    "DIFFIE_HELLMAN": "Foregate uses no finite-field Diffie-Hellman",
    "STORAGE_ADAPTER": "certificates are in tls.storage",
}
KNOWN: Final = ("ALLOWED_DOMAINS", "SITES", "FORCE_HTTPS", "LETSENCRYPT_URL", *_NEEDLESS)
_ANY: Final = "_"


def read_auto_ssl(
    environ: Mapping[str, str], folders: Iterable[Path], configs: Iterable[Path], draft: Draft, upstream: str
) -> None:
    """Add what environment, storage folders and nginx files say; `upstream` is for names without one."""
    directory = environ.get("LETSENCRYPT_URL", "") or LETSENCRYPT
    stored: list[str] = []
    for folder in folders:
        stored += _read_certificates(folder, directory, draft)
        _read_accounts(folder, draft)
    read_nginx(configs, draft, needs_tls=True)
    fallback = _read_sites(environ.get("SITES", ""), stored, draft)
    _add_the_rest(environ.get("ALLOWED_DOMAINS", ""), stored, fallback, draft, upstream)
    if directory != LETSENCRYPT:
        draft.table("tls")["directory"] = _SHORT_NAMES.get(directory, directory)
    if environ.get("FORCE_HTTPS", "true") != "true":
        draft.table("server")["redirect_https"] = False
    for name, reason in _NEEDLESS.items():
        if name in environ:
            draft.notes.needless("", name, reason)


def note_others(environ: Mapping[str, str], draft: Draft) -> None:
    """Note the variables of a container's environment that are not about nginx-auto-ssl."""
    for name in environ:
        if name not in KNOWN:
            draft.notes.needless("", name, "not a variable of nginx-auto-ssl")


def _read_certificates(folder: Path, directory: str, draft: Draft) -> list[str]:
    """Add the stored certificates, return the names that they are kept under."""
    names = []
    for file in sorted((folder / "storage" / "file").glob("*")):
        name, _, kind = unquote(file.name).rpartition(":")
        if kind != "latest":
            draft.notes.needless("", "locks and challenges in storage/file", "they mean nothing any more")
            continue
        try:
            held = json.loads(read_small(file))
            chain, key = str(held["fullchain_pem"]).encode(), str(held["privkey_pem"]).encode()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            reason = f"it is damaged ({type(exc).__name__}); a new one is ordered instead"
            draft.notes.left_out(str(file), f"certificate for {name}", reason)
        else:
            draft.certificates.append(
                FoundCertificate(place=str(file), chain_pem=chain, key_pem=key, directory=directory)
            )
        names.append(name.split(" ")[0].lower())
    return names


def _read_accounts(folder: Path, draft: Draft) -> None:
    for file in sorted((folder / "letsencrypt" / "accounts").glob("*/account_key.pem")):
        try:
            encoded = file.parent.name
            directory = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode().strip()
            uri = _account_uri(file.parent)
            account = FoundAccount(
                place=str(file.parent), key_pem=from_pem(read_small(file)), uri=uri, directory=directory
            )
        except UnusableKeyError as exc:
            draft.notes.left_out(str(file), "account", f"{exc}; {OWN_ACCOUNT}")
        except (OSError, ValueError) as exc:
            draft.notes.left_out(str(file), "account", f"it cannot be read ({exc}); {OWN_ACCOUNT}")
        else:
            draft.accounts.append(account)


def _account_uri(folder: Path) -> str:
    """Return the account's URI; "" has Foregate ask the CA for it, with the key."""
    try:
        return str(json.loads(read_small(folder / "account_id.json"))["url"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _read_sites(sites: str, stored: Iterable[str], draft: Draft) -> str:
    """Add the sites of SITES, return the upstream of `_`, "" if there is none."""
    fallback = ""
    claimed = {name for site in draft.sites for name in site["domains"]}
    for entry in filter(None, (entry.strip() for entry in sites.split(";"))):
        # As the image does it: the name ends at the last =, the address begins after the first.
        names, address = entry.rpartition("=")[0].strip(), entry.partition("=")[2].strip()
        url = f"http://{address.partition('//')[2] or address}"
        try:
            parse_upstream(url)
        except UnacceptableError as exc:
            draft.notes.left_out("SITES", entry, f"expected {exc.expected}; {exc.hint}".rstrip("; "))
            continue
        if names == _ANY:
            fallback = url
            continue
        domains = [name for name in _domains(names, stored, draft) if name not in claimed]
        if domains:
            claimed |= set(domains)
            draft.sites.append({"domains": domains, "upstream": url})
    return fallback


def _domains(names: str, stored: Iterable[str], draft: Draft) -> list[str]:
    found: dict[str, None] = {}
    for name in names.lower().split():
        if "*" not in name:
            found.setdefault(name)
            continue
        ending = name.removeprefix("*")
        matching = [one for one in stored if one.endswith(ending) and one != ending]
        found.update(dict.fromkeys(matching))
        taken = ", ".join(matching) or "none"
        reason = f"the names that have a certificate were taken ({taken}); add others to `domains`"
        draft.notes.changed("SITES", name, reason)
    return list(found)


def _add_the_rest(pattern: str, stored: list[str], fallback: str, draft: Draft, upstream: str) -> None:
    """Give names that are allowed or have a certificate, and are in no site yet, a site of their own."""
    everything: Table = {"upstream": fallback or upstream}
    is_known = bool(fallback)
    for site in [site for site in draft.sites if site["domains"] == ["*"]]:
        draft.sites.remove(site)
        everything = {key: value for key, value in site.items() if key not in ("domains", "tls")}
        is_known = True
    claimed = {name for site in draft.sites for name in site["domains"]}
    listed, is_complete = exact_names(pattern)
    rest = [name for name in dict.fromkeys((*listed, *stored)) if name not in claimed]
    for name in [name for name in rest if not is_allowed(pattern, name)]:
        rest.remove(name)
        draft.notes.left_out("", name, "it has a certificate, and ALLOWED_DOMAINS does not allow it")
    if rest:
        draft.sites.append({"domains": rest, **everything})
        if not is_known:
            reason = f"nothing says where this app is: {upstream} stands in the file; put in the right one"
            draft.notes.left_out("", f"upstream of {rest[0]}", reason)
    if not is_complete:
        reason = "a pattern; Foregate has exact names, and took those that have a site or a certificate: add others"
        draft.notes.changed("", f"ALLOWED_DOMAINS={pattern}", reason)
    elif not pattern:
        draft.notes.changed(
            "", "ALLOWED_DOMAINS", "it allowed every name; Foregate serves those in `domains` alone"
        )
