"""Put certificates and accounts that an import found into the storage, where Foregate goes on with them."""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from autocert import account as accounts
from autocert import names as naming
from autocert.account import Account
from autocert.certificate import Certificate, checked, subject_names
from autocert.errors import StorageError, WrongCertificateError
from autocert.settings import Authority
from autocert.storage import CERTIFICATES, Storage
from proxy.importing.draft import Draft, FoundAccount, FoundCertificate
from proxy.importing.errors import ImportRefusedError
from proxy.supervisor import privileges


def take_over(draft: Draft, storage: Path, wanted: Iterable[str], now: float) -> list[str]:
    """Store certificates of wanted names and accounts; return a line on each; raises ImportRefusedError.

    Nothing that is stored already is replaced by something older.
    """
    is_ours = _is_ours(storage)
    names = set(wanted)
    done: list[str] = []
    try:
        store = Storage(storage)
        store.prepare(now)
        # The one that lasts longest comes first where several have the same name.
        for found in sorted(draft.certificates, key=lambda one: -_end(one)):
            done += _take_certificate(found, store, names, draft, now)
        for account in draft.accounts:
            done += _take_account(account, store, draft, now)
    except StorageError as exc:
        raise ImportRefusedError(f"cannot use the storage: {exc}") from exc
    finally:
        if is_ours and storage.is_dir():
            _hand_over(storage)
    return done


def _end(found: FoundCertificate) -> float:
    try:
        return x509.load_pem_x509_certificates(found.chain_pem)[0].not_valid_after_utc.timestamp()
    except (ValueError, IndexError):
        return 0.0


def _take_certificate(
    found: FoundCertificate, store: Storage, wanted: set[str], draft: Draft, now: float
) -> list[str]:
    done = []
    try:
        leaf = x509.load_pem_x509_certificates(found.chain_pem)[0]
    except (ValueError, IndexError):
        draft.notes.left_out(found.place, "certificate", "it cannot be read; a new one is ordered instead")
        return []
    for name in (name for name in subject_names(leaf) if name in wanted):
        try:
            certificate = checked(
                found.key_pem,
                found.chain_pem,
                names=(name,),
                origin=found.directory,
                profile="",
                stored_at=now,
            )
        except WrongCertificateError as exc:
            draft.notes.left_out(
                found.place, f"certificate for {name}", f"{exc}; a new one is ordered instead"
            )
            continue
        if certificate.not_after <= now:
            draft.notes.left_out(
                found.place, f"certificate for {name}", "it has ended; a new one is ordered instead"
            )
        elif _stored(name, certificate, store, now):
            done.append(f"certificate for {name}, valid until {leaf.not_valid_after_utc:%Y-%m-%d}")
    return done


def _stored(name: str, certificate: Certificate, store: Storage, now: float) -> bool:
    """Store a certificate for one name, unless there is one that lasts as long."""
    ident = naming.identifier((name,))
    with store.locked(ident):
        present = store.load(ident, now).value
        if present is not None and present.not_after >= certificate.not_after:
            return False
        store.save(ident, certificate)
    return True


def _take_account(found: FoundAccount, store: Storage, draft: Draft, now: float) -> list[str]:
    if not _names_a_ca(found.directory):
        draft.notes.left_out(found.place, "account", "its folder does not name a CA")
        return []
    authority = Authority(directory=found.directory)
    with store.locked(f"{authority.folder}~"):
        if store.load_document(accounts.unsealed, now, "accounts", authority.folder).value is not None:
            draft.notes.needless(found.place, "account", "the storage has one for this CA already")
            return []
        sealed = Account(found.key_pem, found.uri).sealed()
        store.save_document(sealed, accounts.unsealed, now, "accounts", authority.folder)
    return [f"account at {authority.name}"]


def _names_a_ca(directory: str) -> bool:
    try:
        parts = urlsplit(directory)
        return parts.scheme == "https" and bool(parts.hostname) and directory.isprintable()
    except ValueError:
        return False


def _is_ours(storage: Path) -> bool:
    """Tell whether the folder is a storage, or nothing yet: what else is in a folder is given to nobody."""
    try:
        present = os.listdir(storage)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return not present or CERTIFICATES in present


def _hand_over(storage: Path) -> None:
    """Give what root has written to the user that a Foregate started as root becomes, what is inside first."""
    identity = privileges.choose_identity("", storage)
    if identity is None:
        return
    owner = (identity.user_id, identity.group_id)
    try:
        for _, folders, files, descriptor in os.fwalk(storage, topdown=False):
            for name in (*folders, *files):
                os.chown(name, *owner, dir_fd=descriptor, follow_symlinks=False)
        os.chown(storage, *owner, follow_symlinks=False)
    except OSError as exc:
        raise ImportRefusedError(
            f"cannot give the storage to {identity.name}: {exc.strerror}; run the import as Foregate's user"
        ) from exc
