"""A small CA for tests: for a fake's own https, and for certificates with faults."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autocert import keys
from autocert.certificate import alternative_names


class TestCa:
    """A root that signs whatever it is asked to, the same way each time when `now` is given."""

    __test__ = False

    def __init__(self, name: str = "test CA", now: float | None = None) -> None:
        self._count = 0
        is_fixed = now is not None
        self._key = (
            ec.derive_private_key(7, ec.SECP256R1()) if is_fixed else ec.generate_private_key(ec.SECP256R1())
        )
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._now = now
        builder = self._begun(self._key.public_key(), self._name, 0, 3650 * 86400.0)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._root = builder.add_extension(usage, critical=True).sign(
            self._key, hashes.SHA256(), ecdsa_deterministic=True
        )
        self.root_pem = self._root.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        names: list[str],
        *,
        begins: float = -3600.0,
        lasts: float = 90 * 86400.0,
        key_type: str = "p256",
    ) -> tuple[bytes, bytes]:
        """Return key and chain in PEM; `begins` is in seconds from now."""
        key = keys.new_key(key_type)
        return keys.to_pem(key), self.sign(key.public_key(), names, begins=begins, lasts=lasts)

    def sign(
        self,
        public_key: keys.PublicKey,
        names: list[str],
        *,
        begins: float = -3600.0,
        lasts: float = 90 * 86400.0,
    ) -> bytes:
        """Return a chain in PEM for somebody's key."""
        builder = self._begun(public_key, x509.Name([]), begins, lasts)
        builder = builder.add_extension(alternative_names(names), critical=True).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        leaf = builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        return leaf.public_bytes(serialization.Encoding.PEM) + self.root_pem

    def _begun(
        self, public_key: keys.PublicKey, subject: x509.Name, begins: float, lasts: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC).timestamp() if self._now is None else self._now
        self._count += 1
        serial = x509.random_serial_number() if self._now is None else (1 << 100) + self._count
        start = datetime.datetime.fromtimestamp(now + begins, datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(seconds=lasts))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
