"""The files that a configuration names: are they there, readable, and what they are said to be?

The only part of the checks that does I/O, so that parsing stays a function of its arguments. Whether a
certificate and a key belong together is for those to say who load them.
"""

import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping
from posixpath import dirname
from typing import Final

from proxy.config.errors import ConfigError, Fault
from proxy.config.findings import Finding, Path, show, show_file
from proxy.config.network_lists import parse_network_list
from proxy.config.schema import Firewall, Network
from proxy.config.subject import Subject

_LARGEST_PEM: Final = 4 * 1024 * 1024
_LARGEST_LIST: Final = 64 * 1024 * 1024
_MOST_LINES_REPORTED: Final = 20
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY: Final = b"PRIVATE KEY-----"
_LIST_EXPECTED: Final = "a list of networks"
_ENCRYPTED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class _UnusableFileError(Exception):
    """A file that cannot be used: what was found of it."""


#: What lists of networks hold, by the path of their file.
Lists = dict[str, tuple[Network, ...]]


def unusable_files(subject: Subject, lists: Lists) -> Iterator[Finding | Fault]:
    """Find every file that is named and cannot be used; for lists of networks also their faulty lines.

    The lists that can be used are put into `lists`.
    """
    yield from _certificates(subject)
    yield from _network_lists(subject, lists)
    yield from _own_places(subject)


def read_lists(files: Iterable[str]) -> Mapping[str, tuple[Network, ...]]:
    """Read lists of networks anew. Raises ConfigError with every fault in any of them."""
    lists: Lists = {}
    faults: list[Fault] = []
    for file in files:
        try:
            faults += _read_list(file, lists)
        except _UnusableFileError as error:
            faults.append(Fault(file, None, "", f"a file {error}", _LIST_EXPECTED))
    if faults:
        raise ConfigError(tuple(faults))
    return lists


def _certificates(subject: Subject) -> Iterator[Finding]:
    for index, _, site in subject.sites():
        named = {"certificate": site.tls.certificate, "private_key": site.tls.private_key}
        if site.tls.mode != "files":
            named = {"ca_file": site.tls.ca_file} if site.tls.mode == "acme" else {}
        for key, file in named.items():
            if file:
                yield from _pem_fault(subject.origin(("site", index), "tls", key), file, key == "private_key")
    for place, table, route in subject.routes():
        if route.upstream_ca_file and "upstream_ca_file" in table.model_fields_set:
            yield from _pem_fault((*place, "upstream_ca_file"), route.upstream_ca_file, False)


def _pem_fault(path: Path, file: str, is_key: bool) -> Iterator[Finding]:
    expected = "a private key in PEM" if is_key else "certificates in PEM"
    try:
        content = _read(file, _LARGEST_PEM)
    except _UnusableFileError as error:
        yield Finding(path, f"{show_file(file)}, {error}", expected)
        return
    has_key, has_certificate = _PRIVATE_KEY in content, _CERTIFICATE in content
    if is_key and any(mark in content for mark in _ENCRYPTED):
        hint = f"decrypt it: openssl pkey -in {file} -out key.pem"
        yield Finding(
            path, f"{show_file(file)}, which is encrypted", f"{expected} without a passphrase", hint
        )
    elif is_key and not has_key:
        hint = "are certificate and private_key exchanged?" if has_certificate else ""
        yield Finding(path, f"{show_file(file)}, in which there is none", expected, hint)
    elif not is_key and not has_certificate:
        hint = "are certificate and private_key exchanged?" if has_key else ""
        yield Finding(path, f"{show_file(file)}, in which there is none", expected, hint)


def _network_lists(subject: Subject, lists: Lists) -> Iterator[Finding | Fault]:
    firewalls: list[tuple[Path, Firewall]] = [((), subject.config.firewall)]
    firewalls += [(place, route.firewall) for place, _, route in subject.routes()]
    checked: set[Path] = set()
    for place, firewall in firewalls:
        for key in ("allow", "deny"):
            origin = subject.origin(place, "firewall", key)
            if origin in checked:
                continue
            checked.add(origin)
            for number, entry in enumerate(getattr(firewall, key)):
                if isinstance(entry, str):
                    file = entry.removeprefix("file:")
                    try:
                        yield from _read_list(file, lists)
                    except _UnusableFileError as error:
                        yield Finding((*origin, number), f"{show_file(file)}, {error}", _LIST_EXPECTED)


def _read_list(file: str, lists: Lists) -> Iterator[Fault]:
    """Put what a file lists into `lists`, or tell which of its lines are wrong."""
    if file in lists:
        return
    try:
        content = _read(file, _LARGEST_LIST).decode()
    except UnicodeDecodeError as error:
        raise _UnusableFileError("which is not UTF-8") from error
    networks, unreadable = parse_network_list(content)
    for line in unreadable[:_MOST_LINES_REPORTED]:
        yield Fault(file, line.number, "", show(line.text), line.expected, line.hint)
    if len(unreadable) > _MOST_LINES_REPORTED:
        more = f"{len(unreadable) - _MOST_LINES_REPORTED} more such lines"
        yield Fault(file, None, "", more, unreadable[0].expected)
    if not unreadable:
        lists[file] = networks


def _own_places(subject: Subject) -> Iterator[Finding]:
    """Check what the proxy itself writes to, and whom it runs as."""
    config = subject.config
    if config.log.access not in ("stdout", "off"):
        folder = dirname(config.log.access) or "."
        if os.path.isdir(config.log.access):
            yield Finding(("log", "access"), f"{show_file(config.log.access)}, which is a folder", "a file")
        elif not os.path.isdir(folder):
            found = f"{show_file(config.log.access)}, whose folder does not exist"
            yield Finding(("log", "access"), found, "a file in a folder that exists")
    storages: dict[Path, str] = {("tls", "storage"): config.tls.storage}
    storages |= {
        subject.origin(("site", index), "tls", "storage"): s.tls.storage for index, _, s in subject.sites()
    }
    for path, storage in storages.items():
        if os.path.exists(storage) and not os.path.isdir(storage):
            yield Finding(
                path, f"{show_file(storage)}, which is a file", "a folder, which is made where it is missing"
            )
    if config.server.user and not _is_user(config.server.user):
        yield Finding(("server", "user"), show(config.server.user), "a user of this system")


def _is_user(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return user.isdigit()
    return True


def _read(file: str, most: int) -> bytes:
    """Return what is in a regular file; anything else could block or never end."""
    try:
        status = os.stat(file)
        if stat.S_ISDIR(status.st_mode):
            raise _UnusableFileError("which is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableFileError("which is no regular file")
        if status.st_size > most:
            raise _UnusableFileError(f"which is larger than {most} bytes")
        with open(file, "rb") as opened:
            return opened.read(most + 1)
    except FileNotFoundError as error:
        raise _UnusableFileError("which does not exist") from error
    except OSError as error:
        raise _UnusableFileError(
            f"which cannot be read ({(error.strerror or str(error)).lower()})"
        ) from error
