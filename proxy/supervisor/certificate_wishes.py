"""What a configuration wants in the way of certificates, and from where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.config.schema import Config, Site, Tls
from proxy.errors import ForegateError

if TYPE_CHECKING:
    from autocert.settings import Wanted


RESOLVER_VARIABLE: Final = "FOREGATE_RESOLVER"
PORT_VARIABLE: Final = "FOREGATE_CHALLENGE_PORT"


class CertificateSettingError(ForegateError):
    """Say which variable of the environment cannot be used."""


@dataclass(frozen=True, slots=True)
class FilePair:
    """The files of a site that brings its own certificate."""

    certificate: str
    private_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Where each name's certificate is to come from; names are domains as the configuration has them.

    `managed` lists, by storage folder, the sites whose certificates autocert gets and keeps. `passed_through`
    are names whose challenges go to the app, so that nobody can get a certificate for them here. `hold` is how
    long a handshake waits for a name (seconds).
    """

    managed: Mapping[Path, tuple[Site, ...]] = field(default_factory=dict)
    files: Mapping[FilePair, tuple[str, ...]] = field(default_factory=dict)
    passed_through: frozenset[str] = frozenset()
    storage_of: Mapping[str, Path] = field(default_factory=dict)
    hold: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Return all names that https is served for."""
        return frozenset(self.hold)


@dataclass(frozen=True, slots=True)
class Probing:
    """How names are looked at when something is wrong.

    `resolver` is a name server as HOST:PORT, "" for the system's; `http_port` is where CAs ask.
    """

    resolver: str = ""
    http_port: int = 80


def probing_of(environ: Mapping[str, str]) -> Probing:
    """Read it from the environment; a CA that asks on another port than 80 is a private one, or a test's.

    Raises CertificateSettingError.
    """
    resolver, port = environ.get(RESOLVER_VARIABLE, ""), environ.get(PORT_VARIABLE, "80")
    _, colon, resolver_port = resolver.rpartition(":")
    if resolver and not (colon and resolver_port.isdecimal()):
        raise CertificateSettingError(f"{RESOLVER_VARIABLE} is {resolver!r}; write it as HOST:PORT")
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise CertificateSettingError(f"{PORT_VARIABLE} is {port!r}; it takes a port, usually 80")
    return Probing(resolver, int(port))


def wishes_of(config: Config) -> Wishes:
    """Derive what is wanted; nothing where nobody listens for https."""
    managed: dict[Path, list[Site]] = {}
    files: dict[FilePair, list[str]] = {}
    passed: set[str] = set()
    hold: dict[str, float] = {}
    for site in config.sites if config.server.https else ():
        tls = site.tls
        if tls.mode == "off":
            continue
        hold |= dict.fromkeys(site.domains, tls.hold)
        if tls.mode == "files":
            files.setdefault(FilePair(tls.certificate, tls.private_key), []).extend(site.domains)
        elif tls.mode == "acme" and tls.passthrough_challenges:
            passed |= set(site.domains)
        else:
            managed.setdefault(Path(tls.storage), []).append(site)
    return Wishes(
        managed={storage: tuple(sites) for storage, sites in managed.items()},
        files={pair: tuple(names) for pair, names in files.items()},
        passed_through=frozenset(passed),
        storage_of={name: path for path, sites in managed.items() for site in sites for name in site.domains},
        hold=hold,
    )


def storages(config: Config) -> tuple[Path, ...]:
    """Return the folders that must be there and ours, that of [tls] first."""
    used = [Path(config.tls.storage), *wishes_of(config).managed]
    return tuple(dict.fromkeys(used))


def plain(name: str) -> str:
    """Return a name as certificates have it: the configuration writes IPv6 addresses in brackets, as URLs do."""
    return name.removeprefix("[").removesuffix("]").lower().removesuffix(".")


def wanted_of(site: Site) -> "Wanted":
    """Say it in autocert's words."""
    from autocert.settings import Authority, Wanted

    tls = site.tls
    authority = Authority(mode="self-signed") if tls.mode == "self-signed" else Authority(**_authority(tls))
    return Wanted(
        names=tuple(map(plain, site.domains)),
        authority=authority,
        profile=tls.profile if tls.mode == "acme" else "",
        key_type=tls.key_type,
        group=tls.group,
    )


def _authority(tls: Tls) -> dict[str, str]:
    return {
        "directory": tls.directory,
        "ca_file": tls.ca_file,
        "email": tls.email,
        "eab_kid": tls.eab_kid,
        "eab_hmac_key": tls.eab_hmac_key,
    }


def by_plain_name(names: Iterable[str]) -> dict[str, str]:
    """Map each name as certificates have it to the name as the configuration has it."""
    return {plain(name): name for name in names}
