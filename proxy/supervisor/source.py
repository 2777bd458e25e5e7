"""The configuration file: where it is, what it says now, and whether it has changed."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Generic, TypeVar

from proxy.config.errors import ConfigError, ConfigWarning
from proxy.config.files import read_lists
from proxy.config.loader import load_octets, parse
from proxy.config.places import read_source
from proxy.config.schema import Config
from proxy.traffic.firewall import Firewalls, firewalls_of, listed_files

_MOUNTS: Final = Path("/proc/self/mountinfo")
_CLOCK_STEP: Final = 20_000_000  # nanoseconds by which a file's time may lag behind the clock
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells two states of a file apart without reading it; an editor's rename changes the inode."""

    device: int
    inode: int
    modified_ns: int
    size: int


def fingerprint_of(path: Path) -> Fingerprint | None:
    """Return a file's state, or None while there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Fingerprint(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and the state of the file that it was read from.

    `firewalls` are its rules with the lists of addresses that it names; `lists` is the state of these files.
    """

    config: Config
    warnings: tuple[ConfigWarning, ...]
    digest: bytes | None
    fingerprint: Fingerprint | None
    firewalls: Firewalls = field(default_factory=dict)
    lists: "ListFingerprints" = ()


ListFingerprints = tuple[Fingerprint | None, ...]


def list_fingerprints(config: Config) -> ListFingerprints:
    """Return the states of the lists of addresses that a configuration names."""
    return tuple(fingerprint_of(Path(file)) for file in listed_files(config))


def with_new_lists(loaded: Loaded) -> Loaded:
    """Read the lists of addresses anew, and nothing else. Raises ConfigError with all faults in them."""
    config = loaded.config
    fingerprints = list_fingerprints(config)
    firewalls = firewalls_of(config, read_lists(listed_files(config)))
    return replace(loaded, firewalls=firewalls, lists=fingerprints)


class ConfigFile:
    """Read one configuration file, as often as needed."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        """Use the file at `path`, which need not exist yet."""
        self.path = path
        self._environ = environ
        self._may_wait = True  # at the start, for a pipe; a running instance must not stand still

    def read(self) -> Loaded:
        """Parse and validate the file. Raises ConfigError with all faults."""
        fingerprint = self.fingerprint()
        begun = time.time_ns()
        octets = read_source(str(self.path), may_wait=self._may_wait)  # once: a pipe has nothing more
        self._may_wait = False
        digest = hashlib.sha256(octets).digest()
        loaded = load_octets(octets, self.path, self._environ)
        firewalls = firewalls_of(loaded.config, loaded.lists)
        # Which lists there are was not known before: one that has just changed may have been read half, and its
        # fingerprint is left out, so that the watch has it read again.
        lists = tuple(
            None if found and found.modified_ns > begun - _CLOCK_STEP else found
            for found in list_fingerprints(loaded.config)
        )
        return Loaded(loaded.config, loaded.warnings, digest, fingerprint, firewalls, lists)

    def text(self) -> str:
        """Return what the file holds now, "" while it cannot be read."""
        try:
            return read_source(str(self.path), may_wait=False).decode(errors="replace")
        except ConfigError:
            return ""

    def read_or(self, source: str) -> Loaded:
        """Parse and validate the file, or what it held a moment ago if it has become faulty since."""
        try:
            return self.read()
        except ConfigError:
            octets = source.encode()
            config = parse(octets, path=str(self.path), environ=self._environ)
            digest = hashlib.sha256(octets).digest()
            return with_new_lists(Loaded(config, (), digest, self.fingerprint()))

    def digest(self) -> bytes | None:
        """Hash what the file holds now; None while it cannot be read."""
        try:
            return hashlib.sha256(read_source(str(self.path), may_wait=False)).digest()
        except ConfigError:
            return None

    def fingerprint(self) -> Fingerprint | None:
        """Return the file's state, or None while there is no such file."""
        return fingerprint_of(self.path)

    def is_mounted_alone(self, mounts: Path = _MOUNTS) -> bool:
        """Tell whether the file itself, not its folder, is a mount point (a bind-mounted single file).

        Such a mount stays with the old file when an editor replaces it.
        """
        wanted = str(self.path.resolve())
        try:
            lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return False
        return any(len(words := line.split(" ")) > 4 and words[4] == wanted for line in lines)


class FileWatch(Generic[State]):
    """Notice that a file, or several, have changed and then kept still for two polls; pure."""

    __slots__ = ("_seen", "_settled", "_still")

    def __init__(self, settled: State | None) -> None:
        """Start from the state that is in use."""
        self._settled = settled
        self._seen = settled
        self._still = 0

    def poll(self, now: State | None) -> bool:
        """Take the state of this poll; True means: read the file now.

        While the file is missing (an editor renames, a deployment swaps), nothing happens.
        """
        self._still = self._still + 1 if now == self._seen else 0
        self._seen = now
        if now is None or now == self._settled or self._still < 2:
            return False
        self._settled = now
        return True

    def settle(self, state: State | None) -> None:
        """Take a state as known: the file was read on somebody's order."""
        self._settled = state
