"""Make private keys and certificate signing requests, and name a key's thumbprint."""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from autocert.certificate import alternative_names
from autocert.errors import SettingsError, WrongCertificateError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KEY_TYPES: Final = ("p256", "p384", "rsa2048")


def new_key(key_type: str) -> PrivateKey:
    """Make a key of one of KEY_TYPES."""
    match key_type:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa2048":
            return rsa.generate_private_key(65537, 2048)
    raise SettingsError(f"key_type {key_type!r} is none of {', '.join(KEY_TYPES)}")


def to_pem(key: PrivateKey) -> bytes:
    """Return the key as PKCS#8, unencrypted: the files that hold it are closed to others."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_pem(pem: bytes) -> PrivateKey:
    """Return the key that the PEM holds; raises WrongCertificateError when it holds none of ours."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as exc:
        raise WrongCertificateError("the key cannot be read") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise WrongCertificateError("the key is of a kind that is not used here")
    return key


def signing_request(key: PrivateKey, names: Iterable[str]) -> bytes:
    """Return a request in DER, with the names in its SAN alone: a common name holds only 64 characters."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(alternative_names(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the JWK thumbprint of a P-256 account key (RFC 7638)."""
    numbers = key.public_key().public_numbers()
    jwk = {"crv": "P-256", "kty": "EC", "x": _base64url(numbers.x), "y": _base64url(numbers.y)}
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
