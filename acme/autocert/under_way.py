"""An order under way, as it is kept in the storage over a crash."""

import json
from dataclasses import dataclass, field
from typing import Final

from autocert import envelope
from autocert.errors import WrongCertificateError
from autocert.renewal import DAY
from autocert.settings import Wanted

_KIND: Final = "order"
# Orders live for 7 days at Let's Encrypt.
_LONGEST_UNDER_WAY: Final = 6 * DAY


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An order with its key, kept so that a crash loses neither a certificate nor its place in the budget."""

    url: str
    names: tuple[str, ...]
    directory: str
    profile: str
    placed_at: float
    exempt: bool
    key_pem: bytes = field(repr=False)

    def sealed(self) -> bytes:
        """Return the file that holds it."""
        notes = {
            "url": self.url,
            "names": self.names,
            "directory": self.directory,
            "profile": self.profile,
            "placed_at": self.placed_at,
            "exempt": self.exempt,
        }
        return envelope.seal(_KIND, json.dumps(notes).encode() + b"\n" + self.key_pem)

    def fits(self, wanted: Wanted, now: float) -> bool:
        """Tell whether it is an order for what is wanted, and young enough to go on with."""
        same = (self.names, self.directory, self.profile) == (
            wanted.names,
            wanted.authority.url,
            wanted.profile,
        )
        return same and abs(now - self.placed_at) < _LONGEST_UNDER_WAY


def unsealed(content: bytes) -> UnderWay:
    """Return the order that a file holds; raises WrongCertificateError when it is damaged."""
    notes, _, key_pem = envelope.unseal(_KIND, content).partition(b"\n")
    try:
        fields = json.loads(notes)
        return UnderWay(names=tuple(fields.pop("names")), key_pem=key_pem, **fields)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise WrongCertificateError("the order's notes are not readable") from exc
