"""What the certificate manager is told: once for all, and for each set of names."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from autocert import names as naming
from autocert.errors import SettingsError
from autocert.keys import KEY_TYPES
from autocert.ledger import Limits

DIRECTORIES: Final = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
ANY_NAME: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for the whole manager; spans in seconds.

    `resolver` is a name server as HOST:PORT, "" for the system's; `http_port` is where challenges are looked
    for; `limits` replaces the budget that is known for a CA.
    """

    storage: Path
    resolver: str = ""
    http_port: int = 80
    limits: Limits | None = None
    # Orders under way at once; names with waiting handshakes get as many again.
    concurrency: int = 8
    call_seconds: float = 30.0
    order_seconds: float = 300.0
    kept_after_removal: float = 7 * 86400.0
    # How often the clock, the storage folder and what is unsaved are looked at.
    look_around: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Where a certificate comes from; the fields are the keys of [tls] of the same names."""

    mode: str = "acme"
    directory: str = "letsencrypt"
    ca_file: str = ""
    email: str = ""
    eab_kid: str = ""
    eab_hmac_key: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Return the directory's URL."""
        return DIRECTORIES.get(self.directory, self.directory)

    @property
    def name(self) -> str:
        """Return what people call the CA."""
        host = urlsplit(self.url).hostname or self.url
        return "Let's Encrypt" if host.endswith("letsencrypt.org") else f"the CA {host}"

    @property
    def is_lets_encrypt(self) -> bool:
        """Tell whether it is one of Let's Encrypt's directories."""
        return (urlsplit(self.url).hostname or "").endswith(".letsencrypt.org")

    @property
    def folder(self) -> str:
        """Return the name of the account's folder: one per directory and external account."""
        host = urlsplit(self.url).hostname or "ca"
        digest = hashlib.sha256(f"{self.url}\n{self.eab_kid}".encode()).hexdigest()[:16]
        return f"{host.replace(':', '_')}~{digest}"

    def check(self) -> None:
        """Raise SettingsError when the settings cannot work."""
        if self.mode not in {"acme", "self-signed"}:
            raise SettingsError(f'mode is {self.mode!r}; autocert takes "acme" and "self-signed"')
        if self.mode == "acme" and urlsplit(self.url).scheme not in {"https", "http"}:
            raise SettingsError(f"directory is {self.directory!r}, which is neither a known CA nor a URL")
        if bool(self.eab_kid) != bool(self.eab_hmac_key):
            raise SettingsError("eab_kid and eab_hmac_key go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A set of names that a site wants certificates for; `group` puts them all into one."""

    names: tuple[str, ...]
    authority: Authority = Authority()  # frozen, so one for all is safe
    profile: str = ""
    key_type: str = "p256"
    group: bool = False

    def each(self) -> tuple["Wanted", ...]:
        """Return one Wanted per certificate, names in normal form.

        Names that no public CA serves are never put into one certificate with those that it does.
        Raises SettingsError for what cannot work.
        """
        self.authority.check()
        if self.key_type not in KEY_TYPES:
            raise SettingsError(f"key_type is {self.key_type!r}; use one of {', '.join(KEY_TYPES)}")
        try:
            names = tuple(dict.fromkeys(n if n == ANY_NAME else naming.normalise(n) for n in self.names))
        except naming.BadNameError as exc:
            raise SettingsError(str(exc)) from exc
        if ANY_NAME in names and self.authority.mode != "self-signed":
            raise SettingsError('a site for any name needs mode "self-signed"')
        if not self.group:
            return tuple(self._with((name,)) for name in names)
        local = tuple(name for name in names if self._falls_to_local_ca(name))
        rest = tuple(name for name in names if name not in local)
        return tuple(self._with(part) for part in (rest, local) if part)

    def _with(self, names: tuple[str, ...]) -> "Wanted":
        return Wanted(names=names, authority=self.authority, profile=self.profile, key_type=self.key_type)

    def _falls_to_local_ca(self, name: str) -> bool:
        if not self.authority.is_lets_encrypt or naming.served_by_public_ca(name):
            return False
        # The one profile with which Let's Encrypt serves addresses.
        return not (self.profile == "shortlived" and naming.is_global_address(name))

    @property
    def is_local(self) -> bool:
        """Tell whether the local CA issues it: by choice, or because no public CA serves such a name."""
        return self.authority.mode == "self-signed" or self._falls_to_local_ca(self.names[0])

    @property
    def falls_to_local_ca(self) -> bool:
        """Tell whether the local CA stands in for the CA that was asked for, which is worth a warning."""
        return self.authority.mode == "acme" and self._falls_to_local_ca(self.names[0])

    @property
    def ident(self) -> str:
        """Return the folder name in the storage."""
        return naming.identifier(self.names)
