"""A certificate with its key and chain: parse it, check it, turn it into a stored file and back."""

import base64
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from autocert import envelope
from autocert.errors import WrongCertificateError
from autocert.renewal import Lifetime

KIND: Final = "certificate"
LOCAL: Final = "local"
_LONGEST_CHAIN = 10
#: What the library raises for extensions that a certificate has not, or has in a form that it does not read.
_NOT_READ: Final = (
    ValueError,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A checked certificate; `origin` is the directory's URL or LOCAL, times are wall seconds.

    `names` are those it was ordered for, in the order of the configuration.
    `ari_id` is the identifier for renewal information (RFC 9773 section 4.1), "" when it has none.
    """

    names: tuple[str, ...]
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    origin: str
    profile: str
    stored_at: float
    not_before: float
    not_after: float
    issuer: str
    serial: int
    fingerprint: str
    ari_id: str

    @property
    def lifetime(self) -> Lifetime:
        """Return what the renewal rules need of it."""
        return Lifetime(self.fingerprint, self.not_before, self.not_after)

    def is_later_than(self, other: "Certificate", now: float) -> bool:
        """Tell which of two was stored later; by the CA's dates when one was stored in what is the future now."""
        if max(self.stored_at, other.stored_at) <= now:
            return self.stored_at > other.stored_at
        return self.not_before > other.not_before

    def covers(self, names: Iterable[str]) -> bool:
        """Tell whether it is valid for every one of the names."""
        return set(names) <= set(self.names)

    def sealed(self) -> bytes:
        """Return the file that holds all of it."""
        notes = {
            "names": self.names,
            "origin": self.origin,
            "profile": self.profile,
            "stored_at": self.stored_at,
        }
        content = (
            json.dumps(notes).encode() + b"\n" + self.key_pem.strip() + b"\n" + self.chain_pem.strip() + b"\n"
        )
        return envelope.seal(KIND, content)


def _ari_id(leaf: x509.Certificate) -> str:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except _NOT_READ:
        return ""
    key_identifier = extension.value.key_identifier or b""
    # The serial number as the DER INTEGER has it: a zero octet first where the top bit is set.
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{_unpadded(key_identifier)}.{_unpadded(serial)}" if key_identifier else ""


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unsealed(content: bytes) -> Certificate:
    """Return the certificate that a file holds.

    Raises WrongCertificateError when the file is damaged or its parts do not belong together.
    """
    inner = envelope.unseal(KIND, content)
    notes_line, _, pem = inner.partition(b"\n")
    key_pem, _, chain_pem = pem.partition(b"\n-----BEGIN CERTIFICATE-----")
    try:
        notes = json.loads(notes_line)
        names = tuple(str(name) for name in notes["names"])
        origin, profile = str(notes["origin"]), str(notes["profile"])
        stored_at = float(notes["stored_at"])
    except (ValueError, KeyError, TypeError) as exc:
        raise WrongCertificateError("the file's notes are not readable") from exc
    return checked(
        key_pem + b"\n",
        b"-----BEGIN CERTIFICATE-----" + chain_pem,
        names=names,
        origin=origin,
        profile=profile,
        stored_at=stored_at,
    )


def checked(
    key_pem: bytes, chain_pem: bytes, *, names: tuple[str, ...], origin: str, profile: str, stored_at: float
) -> Certificate:
    """Return a certificate from its parts.

    Raises WrongCertificateError when the key is not the certificate's, the chain does not hang together, the
    dates are impossible or a name is missing in it. An expired one passes: it is served until it is renewed.
    """
    chain = _parsed_chain(chain_pem)
    leaf = chain[0]
    not_before, not_after = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not_after <= not_before:
        raise WrongCertificateError("it ends before it begins")
    _check_key(leaf, key_pem)
    if not set(names) <= set(subject_names(leaf)):
        raise WrongCertificateError(f"it is not for {', '.join(names)}")
    return Certificate(
        names=names,
        chain_pem=chain_pem,
        key_pem=key_pem,
        origin=origin,
        profile=profile,
        stored_at=stored_at,
        not_before=_seconds(not_before),
        not_after=_seconds(not_after),
        issuer=leaf.issuer.rfc4514_string(),
        serial=leaf.serial_number,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        ari_id=_ari_id(leaf),
    )


def _parsed_chain(chain_pem: bytes) -> list[x509.Certificate]:
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except ValueError as exc:
        raise WrongCertificateError("the chain cannot be read") from exc
    if len(chain) > _LONGEST_CHAIN:
        raise WrongCertificateError(f"the chain has {len(chain)} certificates")
    for lower, upper in pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as exc:
            raise WrongCertificateError("the chain does not hang together") from exc
    return chain


def _check_key(leaf: x509.Certificate, key_pem: bytes) -> None:
    public = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        ours = serialization.load_pem_private_key(key_pem, None).public_key().public_bytes(*public)
        certified = leaf.public_key().public_bytes(*public)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise WrongCertificateError("the key cannot be read") from exc
    if ours != certified:
        raise WrongCertificateError("the key is not the certificate's")


def subject_names(leaf: x509.Certificate | x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Return the host names and addresses that a certificate is, or shall be, for; () where they cannot be read."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except _NOT_READ:
        return ()
    hosts = (name.lower() for name in extension.value.get_values_for_type(x509.DNSName))
    addresses = (str(name) for name in extension.value.get_values_for_type(x509.IPAddress))
    return (*hosts, *addresses)


def alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Return the extension that says which hosts and addresses a certificate or a request is for."""
    entries: list[x509.GeneralName] = []
    for name in names:
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            entries.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(entries)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
