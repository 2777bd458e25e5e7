"""A CA of our own, for names that no public CA serves and for mode "self-signed".

Its root is made once and kept in the storage, so that a developer can trust it once; `local-ca/root.pem` is the
certificate alone, to copy to where it is to be trusted. The leaf's key is used for nothing else.
"""

import datetime
import secrets
import socket
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from autocert import certificate as certificates
from autocert import keys
from autocert.certificate import LOCAL, Certificate, alternative_names, checked
from autocert.errors import StorageError
from autocert.shelf import Damage
from autocert.storage import Storage

FOLDER: Final = "local-ca"
ROOT_FILE: Final = "root.pem"
_ROOT_NAME: Final = "Foregate Local CA"
_ROOT_LIFETIME: Final = 3650 * 86400.0
# Below the 397 days that browsers allow, and short enough that renewing it stays in practice.
LEAF_LIFETIME: Final = 90 * 86400.0
# Clocks of other machines may be behind ours.
_BACKDATED: Final = 3600.0


class LocalCa:
    """The local CA; call it off the event loop."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._root: Certificate | None = None
        self.damage: list[Damage] = []

    @property
    def root_path(self) -> Path:
        """Return where the certificate to be trusted is."""
        return self._storage.root / FOLDER / ROOT_FILE

    def issue(self, names: tuple[str, ...], key_type: str, now: float) -> Certificate:
        """Return a certificate for the names, signed by the root, which is made when there is none.

        A root that cannot be kept serves from memory; raises StorageError when there may be one that cannot be
        read.
        """
        root = self._root_at(now)
        root_key = keys.from_pem(root.key_pem)
        root_certificate = x509.load_pem_x509_certificate(root.chain_pem)
        key = keys.new_key(key_type)
        not_after = min(now + LEAF_LIFETIME, root.not_after)
        builder = _begun(key.public_key(), root_certificate.subject, now - _BACKDATED, not_after)
        builder = builder.subject_name(x509.Name([]))
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            root_certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )
        # The name is in the SAN alone; that is critical then (RFC 5280 section 4.2.1.6).
        builder = (
            builder.add_extension(alternative_names(_served(names)), critical=True)
            .add_extension(authority, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signing=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
        leaf = builder.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        chain = leaf + root.chain_pem
        return checked(keys.to_pem(key), chain, names=names, origin=LOCAL, profile="", stored_at=now)

    def _root_at(self, now: float) -> Certificate:
        if self._root is not None and self._root.not_after >= now + LEAF_LIFETIME:
            return self._root
        # Read first and without the lock, so that a read-only storage with a root in it will do.
        self._root = self._stored_root(now)
        if self._root is None:
            try:
                with self._storage.locked(f"{FOLDER}~"):
                    self._root = self._stored_root(now) or self._kept(_root(now), now)
            except StorageError:
                # It lives as long as we do; whoever lets us write again gets a root that stays.
                self._root = _root(now)
        return self._root

    def _stored_root(self, now: float) -> Certificate | None:
        found = self._storage.load_document(certificates.unsealed, now, FOLDER)
        self.damage += found.damage
        usable = found.value is not None and found.value.not_after >= now + LEAF_LIFETIME
        return found.value if usable else None

    def _kept(self, root: Certificate, now: float) -> Certificate:
        self._storage.save_document(root.sealed(), certificates.unsealed, now, FOLDER)
        self._storage.save_copy(root.chain_pem, ROOT_FILE, FOLDER)
        return root


def placeholder(name: str, now: float) -> Certificate:
    """Return a certificate that nobody trusts, for where any will do: an edge that is asked for a challenge."""
    key = keys.new_key("p256")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "placeholder")])
    builder = _begun(key.public_key(), subject, now - _BACKDATED, now + 86400.0).subject_name(subject)
    builder = builder.add_extension(alternative_names([name]), critical=False)
    chain = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return checked(keys.to_pem(key), chain, names=(name,), origin=LOCAL, profile="", stored_at=now)


def _root(now: float) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    # A number in the name tells the roots of several machines apart in a trust store.
    common_name = f"{_ROOT_NAME} {secrets.token_hex(3)}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _begun(key.public_key(), subject, now - _BACKDATED, now + _ROOT_LIFETIME).subject_name(subject)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    ).add_extension(_key_usage(signing=False), critical=True)
    chain = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return checked(keys.to_pem(key), chain, names=(), origin=LOCAL, profile="", stored_at=now)


def _begun(
    public_key: keys.PublicKey, issuer: x509.Name, not_before: float, not_after: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(not_before, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(not_after, datetime.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _served(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names with, for a site that answers to any, those by which a machine calls itself."""
    if names != ("*",):
        return names
    own = socket.gethostname().lower()
    return ("*", "localhost", *([own] if own.isascii() and own != "localhost" else []), "127.0.0.1", "::1")


def _key_usage(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signing,
        crl_sign=not signing,
        encipher_only=False,
        decipher_only=False,
    )
