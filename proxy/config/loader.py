"""From `proxy.toml` to a `Config`, or to everything that is wrong with it.

Theory of operation.  Octets become a TOML document (`syntax`), variables are put in (`interpolation`), values
are read one by one (`validation`), inheritance is resolved (`resolution`), and keys are compared with each
other (the rules). Each step reports what it finds and goes on with the rest, so that one run shows every
fault; only a syntax error stands alone. Lines are looked up at the end, and only when there is something to
report (`positions`).
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from posixpath import dirname
from typing import Final

from proxy.config import server_rules, site_rules, tls_rules
from proxy.config.cautions import CAUTIONS
from proxy.config.errors import ConfigError, ConfigWarning, Fault
from proxy.config.files import Lists, unusable_files
from proxy.config.findings import Finding, Path, key_text
from proxy.config.interpolation import interpolate
from proxy.config.places import read_source
from proxy.config.positions import locate
from proxy.config.resolution import resolve
from proxy.config.schema import Config, Network
from proxy.config.stand_ins import with_stand_ins
from proxy.config.subject import Subject
from proxy.config.syntax import read_document
from proxy.config.validation import validate

_RULES: Final = (*server_rules.RULES, *tls_rules.RULES, *site_rules.RULES)
_LONGEST_HINT: Final = 1000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, what is odd about it, and the file that it came from (an absolute path).

    `lists` are the networks in the files that it names, by their paths.
    """

    config: Config
    warnings: tuple[ConfigWarning, ...]
    path: str
    lists: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)


def parse(source: bytes, *, path: str, environ: Mapping[str, str]) -> Config:
    """Return the configuration in a file's octets, without looking at any other file.

    `path` names the file in faults, and relative paths in the configuration begin at its folder.
    Raises ConfigError with every fault.
    """
    examination = _Examination(source, path, dirname(path), environ)
    examination.refuse(())
    return examination.subject.config


def load(path: str | FilePath, environ: Mapping[str, str]) -> Loaded:
    """Read a configuration file and check it together with the files that it names.

    Raises ConfigError with every fault.
    """
    return load_octets(read_source(str(path)), path, environ)


def load_octets(source: bytes, path: str | FilePath, environ: Mapping[str, str]) -> Loaded:
    """Check what was read from a configuration file, together with the files that it names.

    Raises ConfigError with every fault.
    """
    absolute = os.path.abspath(path)
    examination = _Examination(source, str(path), dirname(absolute), environ)
    lists: Lists = {}
    examination.refuse(unusable_files(examination.subject, lists))
    return Loaded(examination.subject.config, examination.warnings(), absolute, lists)


class _Examination:
    """One file on its way to a configuration, with all that was found until now."""

    def __init__(self, source: bytes, file: str, folder: str, environ: Mapping[str, str]) -> None:
        self._file = file
        self._text, document = read_document(source, file)
        self._written = with_stand_ins(document, environ)
        values, unreadable = interpolate(self._written, environ)
        self._draft, faulty = validate(self._written, values, frozenset(item.path for item in unreadable))
        self.subject = Subject(self._draft, resolve(self._draft.document, folder))
        self._faults = [self._fault(finding) for finding in (*unreadable, *faulty)]
        self._faults += self._translated(finding for rule in _RULES for finding in rule(self.subject))

    def refuse(self, further: Iterable[Finding | Fault]) -> None:
        """Raise ConfigError if anything was found, here or by a further check."""
        faults = self._faults + list(self._translated(further))
        if faults:
            in_order = sorted(
                dict.fromkeys(faults), key=lambda fault: (fault.file != self._file, fault.line or 1 << 31)
            )
            raise ConfigError(tuple(in_order))

    def warnings(self) -> tuple[ConfigWarning, ...]:
        """Return what is odd; to be asked only of a file without faults."""
        cautions = [caution for find in CAUTIONS for caution in find(self.subject)]
        warnings = [
            ConfigWarning(
                self._file, self._line(item.path), key_text(item.path), item.message, self._site(item.path)
            )
            for item in cautions
        ]
        return tuple(sorted(dict.fromkeys(warnings), key=lambda warning: warning.line or 1 << 31))

    def _translated(self, findings: Iterable[Finding | Fault]) -> Iterator[Fault]:
        for finding in findings:
            if isinstance(finding, Fault):
                yield finding
            elif not self._draft.rests_on_fault(finding):
                path = self._draft.original(finding.path)
                yield self._fault(Finding(path, finding.found, finding.expected, finding.hint))

    def _fault(self, finding: Finding) -> Fault:
        path, hint = finding.path, finding.hint
        if not hint.isprintable() or len(hint) > _LONGEST_HINT:
            hint = ""  # a guess made of a value that is better not repeated
        line, site = self._line(path), self._site(path)
        return Fault(self._file, line, key_text(path), finding.found, finding.expected, hint, site)

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return locate(self._text)

    def _line(self, path: Path) -> int | None:
        """Return the line of a key, or for one that is not written, of the nearest table around it."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self._lines[place] for place in around if place in self._lines), None)

    def _site(self, path: Path) -> str:
        """Return the first domain, as written, of the site that a key belongs to."""
        if len(path) < 2 or path[0] != "site" or not isinstance(path[1], int):
            return ""
        site = self._written["site"][path[1]]
        domains = site.get("domains") if isinstance(site, dict) else None
        first = domains[0] if isinstance(domains, list) and domains else ""
        return first if isinstance(first, str) and first.isprintable() and len(first) < 100 else ""
