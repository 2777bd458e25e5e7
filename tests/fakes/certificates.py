"""A certificate authority of the test's own: for upstreams that speak https, and for our side of TLS."""

import datetime
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_VALID_TO = datetime.datetime(2049, 1, 1, tzinfo=datetime.UTC)


PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_ROOT_COMMON_NAME = "Test CA"


#: Names that the library does not read: an x400Address, an address of three octets, a host in no ASCII.
ODD_NAMES = (b"\x30\x02\xa3\x00", b"\x30\x05\x87\x03\x01\x02\x03", b"\x30\x04\x82\x02\xff\xfe")


class PemPair(NamedTuple):
    """A certificate and its private key."""

    chain: bytes
    key: bytes


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """Issues certificates; keeps its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(
            _name(_ROOT_COMMON_NAME),
            self._key.public_key(),
            [
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False),
            ],
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> Path:
        """Write a certificate for a DNS name and its key into one PEM file."""
        pair = self.pair(name)
        path = self._folder / f"{name}.pem"
        path.write_bytes(pair.key + pair.chain)
        return path

    def pair(self, *names: str, key_type: str = "p256") -> PemPair:
        """Issue a certificate for some DNS names; ``key_type`` is "p256" or "rsa2048"."""
        key: PrivateKey
        if key_type == "p256":
            key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self._sign(
            _name(names[0]),
            key.public_key(),
            [
                (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            ],
        )
        return PemPair(certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))

    def odd_pair(self, names: bytes) -> PemPair:
        """Issue a certificate whose subjectAltName (RFC 5280 section 4.2.1.6) holds these octets of DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        oid = x509.SubjectAlternativeName.oid
        odd = x509.UnrecognizedExtension(oid, names)
        certificate = self._sign(_name("odd"), key.public_key(), [(odd, False)])
        return PemPair(certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))

    def client_context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca_file)
        return context

    def server_context(self, name: str) -> ssl.SSLContext:
        """Return the context of a server with a certificate for `name`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(name))
        return context

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name(_ROOT_COMMON_NAME))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_VALID_FROM)
            .not_valid_after(_VALID_TO)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def encrypted_key() -> bytes:
    """Make a private key that needs a passphrase."""
    return _private_pem(ec.generate_private_key(ec.SECP256R1()), b"secret")
