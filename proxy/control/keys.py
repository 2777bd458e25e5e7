"""The keys that all processes of an instance derive from the one secret that they share."""

import hashlib


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """Derive a key that all processes share and that tells nothing of other keys; `purpose`: up to 16 octets."""
    return hashlib.blake2b(key=secret, person=purpose, digest_size=32).digest()
