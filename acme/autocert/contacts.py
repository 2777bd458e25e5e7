"""The e-mail addresses by which CAs should know our accounts (RFC 8555 section 7.3.2)."""

from collections.abc import Iterable

from autocert.settings import Authority


def contact_of(authority: Authority) -> tuple[str, ...]:
    """Return the addresses that one site's settings name."""
    return (authority.email,) if authority.email else ()


class Contacts:
    """What is wanted by account: sites with different addresses may share one, which then has them all."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[str, ...]] = {}

    def want(self, authorities: Iterable[Authority]) -> None:
        """Say which settings there are, all of them."""
        found: dict[str, set[str]] = {}
        for authority in authorities:
            found.setdefault(authority.folder, set()).update(contact_of(authority))
        self._wanted = {folder: tuple(sorted(emails)) for folder, emails in found.items()}

    def of(self, authority: Authority) -> tuple[str, ...]:
        """Return the addresses of an authority's account."""
        return self._wanted.get(authority.folder, contact_of(authority))
