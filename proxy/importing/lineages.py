"""certbot's lineages: live/NAME with certificate and key, and renewal/NAME.conf with how it is renewed."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509

from autocert.certificate import subject_names
from proxy.config.schema import LETSENCRYPT_DIRECTORIES
from proxy.importing.draft import Draft, FoundCertificate, Table
from proxy.importing.small_files import read_small

LETSENCRYPT: Final = LETSENCRYPT_DIRECTORIES["letsencrypt"]
_ASSIGNMENT: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*?)\s*")
_SHORT_NAMES: Final = {url: name for name, url in LETSENCRYPT_DIRECTORIES.items()}
# Parameters of a renewal that say where certbot keeps what, or how it proves a name: that is Foregate's now.
_OURS: Final = frozenset(
    (
        *("version", "archive_dir", "cert", "privkey", "chain"),
        *("fullchain", "renew_before_expiry", "account", "authenticator", "installer"),
        *("webroot_path", "server", "key_type", "rsa_key_size", "elliptic_curve"),
        *("http01_port", "http01_address", "config_dir", "work_dir", "logs_dir"),
        *("pref_challs", "allow_subset_of_names", "domains", "key_path", "cert_path"),
        *("chain_path", "fullchain_path", "autorenew", "strict_permissions", "reuse_key"),
        *("rsa-key-size", "register_unsafely_without_email", "tls_sni_01_port", "renew_by_default"),
    )
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """One certificate of certbot's: the exact names in it, and the keys of [tls] that it amounts to."""

    names: tuple[str, ...]
    tls: Table = field(default_factory=dict)


def lineage_of(certificate: Path, draft: Draft) -> Lineage | None:
    """Return the lineage that a certificate file belongs to, its certificate added to the draft; else None."""
    folder = certificate.parent
    if folder.parent.name != "live":
        return None
    return read_lineage(folder.parent.parent, folder.name, draft)


def read_lineage(root: Path, name: str, draft: Draft) -> Lineage | None:
    """Add the certificate of a lineage to a draft; return None, with a note, where it cannot be read."""
    folder = root / "live" / name
    parameters = _parameters(root / "renewal" / f"{name}.conf")
    directory = parameters.get("server", LETSENCRYPT)
    try:
        chain, key = read_small(folder / "fullchain.pem"), read_small(folder / "privkey.pem")
        names = subject_names(x509.load_pem_x509_certificates(chain)[0])
    except (OSError, ValueError, IndexError) as exc:
        draft.notes.left_out(str(folder), "certificate", f"{exc}; a new one is ordered instead")
        return None
    if not names:
        draft.notes.left_out(str(folder), "certificate", "no name in it can be read")
        return None
    found = FoundCertificate(place=str(folder), chain_pem=chain, key_pem=key, directory=directory)
    if found not in draft.certificates:
        draft.certificates.append(found)
    exact = tuple(host for host in names if not host.startswith("*."))
    for wildcard in sorted(set(names) - set(exact)):
        reason = "wildcards need a DNS challenge, which Foregate has not: list the names that you use"
        draft.notes.left_out(str(folder), wildcard, reason)
    _note_parameters(root / "renewal" / f"{name}.conf", parameters, draft)
    tls: Table = {} if directory == LETSENCRYPT else {"directory": _SHORT_NAMES.get(directory, directory)}
    return Lineage(exact, tls)


def _parameters(file: Path) -> dict[str, str]:
    """Return what a renewal configuration says, without its map of webroots."""
    try:
        text = read_small(file).decode("utf-8", "replace")
    except (OSError, ValueError):
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.strip().startswith("[["):
            break
        match = _ASSIGNMENT.fullmatch(line)
        if match is not None and not line.lstrip().startswith("#"):
            found[match[1]] = match[2]
    return found


def _note_parameters(file: Path, parameters: dict[str, str], draft: Draft) -> None:
    method = parameters.get("authenticator", "")
    if method.startswith("dns") or method == "manual":
        draft.notes.changed(
            str(file), f"authenticator {method}", "Foregate proves names over http: port 80 has to lead here"
        )
    for name, value in parameters.items():
        if name in _OURS or value in ("", "None", "False"):
            continue
        if name.endswith("hook") or name.startswith("deploy"):
            # A hook's command line may hold a secret, a token for a message perhaps.
            draft.notes.left_out(
                str(file), name, "Foregate runs no hooks; other programs read their own files"
            )
        elif name == "must_staple":
            draft.notes.left_out(str(file), f"{name} = {value}", "OCSP has ended at Let's Encrypt")
        else:
            draft.notes.left_out(str(file), f"{name} = {value}", "there is no such key in [tls]")
