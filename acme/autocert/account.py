"""The account at a CA, as it is kept in the storage."""

import json
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from autocert import envelope, keys
from autocert.errors import WrongCertificateError

KIND: Final = "account"


@dataclass(frozen=True, slots=True)
class Account:
    """An account key, which is no certificate's key, and the account's URI, "" while it is not registered.

    `contact` are the e-mail addresses that the CA was told last, None when that is not known.
    """

    key_pem: bytes = field(repr=False)
    uri: str = ""
    contact: tuple[str, ...] | None = None

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """Return the P-256 key."""
        key = keys.from_pem(self.key_pem)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise WrongCertificateError("the account key is not an elliptic curve's")
        return key

    @property
    def thumbprint(self) -> str:
        """Return what the answers to challenges end with."""
        return keys.thumbprint(self.key)

    def sealed(self) -> bytes:
        """Return the file that holds it."""
        notes = json.dumps({"uri": self.uri, "contact": self.contact}).encode()
        return envelope.seal(KIND, notes + b"\n" + self.key_pem)


def new_account() -> Account:
    """Make a key for an account that is not registered yet."""
    return Account(keys.to_pem(keys.new_key("p256")))


def unsealed(content: bytes) -> Account:
    """Return the account that a file holds; raises WrongCertificateError when it is damaged."""
    notes, _, key_pem = envelope.unseal(KIND, content).partition(b"\n")
    try:
        fields = json.loads(notes)
        contact = fields.get("contact")
        told = None if contact is None else tuple(map(str, contact))
        account = Account(key_pem, str(fields["uri"]), told)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise WrongCertificateError("the account's notes are not readable") from exc
    if account.key.curve.name != "secp256r1":
        raise WrongCertificateError("the account key is not on P-256")
    return account
