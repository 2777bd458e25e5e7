"""Account keys of other ACME clients, in PEM or as a JWK (RFC 7517), as the P-256 keys that Foregate uses."""

import base64
import json
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from autocert import keys


class UnusableKeyError(Exception):
    """A key that Foregate cannot take over; the text says why."""


def from_pem(pem: bytes) -> bytes:
    """Return a P-256 key in PEM from any other form of PEM."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise UnusableKeyError("the key cannot be read") from exc
    return _p256(key)


def from_jwk(document: bytes) -> bytes:
    """Return a P-256 key in PEM from a private JWK."""
    try:
        jwk = json.loads(document)
        kind = jwk["kty"]
        if kind != "EC" or jwk["crv"] != "P-256":
            raise UnusableKeyError(f"it is a key of kind {kind}, and Foregate's are on P-256")
        secret = int.from_bytes(_octets(jwk["d"]), "big")
        key = ec.derive_private_key(secret, ec.SECP256R1())
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise UnusableKeyError("the key cannot be read") from exc
    return _p256(key)


def _p256(key: Any) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return keys.to_pem(key)
    kind = "EC" if isinstance(key, ec.EllipticCurvePrivateKey) else "RSA"
    raise UnusableKeyError(f"it is a key of kind {kind}, and Foregate's are on P-256")


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
