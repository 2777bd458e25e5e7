"""Faults between keys of [tls]: names without a possible certificate, halves of pairs."""

from collections.abc import Iterator
from typing import Final

from proxy.config.findings import Finding, Path, show
from proxy.config.names import needs_local_ca, uses_letsencrypt
from proxy.config.subject import Subject

# Let's Encrypt's limits: classic certificates hold 100 names, those of the newer profiles 25.
_MOST_NAMES: Final = 100
_MOST_NAMES_OF_PROFILE: Final = {"tlsserver": 25, "shortlived": 25}


def half_an_account_binding(subject: Subject) -> Iterator[Finding]:
    """Find an external account binding with one of its two keys."""
    places: list[tuple[Path, str, str]] = [((), subject.config.tls.eab_kid, subject.config.tls.eab_hmac_key)]
    places += [(("site", i), site.tls.eab_kid, site.tls.eab_hmac_key) for i, _, site in subject.sites()]
    for place, kid, hmac_key in places:
        if bool(kid) == bool(hmac_key):
            continue
        missing, present = ("eab_hmac_key", "eab_kid") if kid else ("eab_kid", "eab_hmac_key")
        origin = subject.origin(place, "tls", present)
        yield Finding(
            (*origin[:-1], missing),
            "nothing",
            f"both of eab_kid and eab_hmac_key, because {present} is set",
            "the CA gives them together",
            needs=subject.candidates(place, "tls", missing) + subject.candidates(place, "tls", present),
        )


def files_without_files(subject: Subject) -> Iterator[Finding]:
    """Find mode "files" without a certificate or its key."""
    for index, _, site in subject.sites():
        place: Path = ("site", index)
        for key in ("certificate", "private_key"):
            if site.tls.mode == "files" and not getattr(site.tls, key):
                mode = subject.origin(place, "tls", "mode")
                needs = subject.candidates(place, "tls", "mode") + subject.candidates(place, "tls", key)
                yield Finding(
                    (*mode[:-1], key), "nothing", 'a file, because tls.mode is "files"', needs=needs
                )


def names_without_a_certificate(subject: Subject) -> Iterator[Finding]:
    """Find names that the directory of their site cannot serve, whatever it is asked."""
    for index, table, site in subject.sites():
        if site.tls.mode != "acme":
            continue
        place: Path = ("site", index)
        needs = subject.candidates(place, "tls", "mode") + subject.candidates(place, "tls", "directory")
        needs += (("server", "https"),)
        for number, name in enumerate(table.domains or ()):
            path = (*place, "domains", number)
            if name == "*":
                hint = 'list the names, or set tls.mode to "self-signed", "files" or "off" for this site'
                yield Finding(path, show(name), "a name that a CA can put into a certificate", hint, needs)
            elif "_" in name and uses_letsencrypt(site.tls.directory):
                hint = 'rename it, or set tls.mode to "self-signed", "files" or "off" for this site'
                yield Finding(
                    path, show(name), "a name without underscores, as public CAs demand", hint, needs
                )


def crowded_certificates(subject: Subject) -> Iterator[Finding]:
    """Find sites whose names do not fit into the one certificate that they are to share."""
    for index, _, site in subject.sites():
        most = _MOST_NAMES_OF_PROFILE.get(site.tls.profile, _MOST_NAMES)
        local = [needs_local_ca(name, site.tls.directory, site.tls.profile) for name in site.domains]
        names = local.count(False)
        if (
            site.tls.mode == "acme"
            and site.tls.group
            and uses_letsencrypt(site.tls.directory)
            and names > most
        ):
            place: Path = ("site", index)
            needs = tuple(
                path
                for key in ("mode", "group", "directory", "profile")
                for path in subject.candidates(place, "tls", key)
            )
            hint = "set tls.group to false, or divide the site"
            expected = f"at most {most} names in one certificate, as Let's Encrypt demands"
            yield Finding((*place, "domains"), f"{names} names", expected, hint, needs)


RULES: Final = (
    half_an_account_binding,
    files_without_files,
    names_without_a_certificate,
    crowded_certificates,
)
