"""Where the configuration file is, and what to do where it is not.

Apart from the loader, so that commands that only need to know the file load nothing of what parses it.
"""

import errno
import os
import stat
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from posixpath import join
from typing import Final

from proxy.config.errors import ConfigError, Fault
from proxy.config.findings import SMALLEST_FILE
from proxy.config.syntax import LARGEST_FILE

_USUAL_PLACES: Final = ("proxy.toml", "/etc/foregate/proxy.toml")
_VARIABLE: Final = "FOREGATE_CONFIG"


def find_config(argument: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the configuration file: as named, else from $FOREGATE_CONFIG, else in one of the usual places.

    Raises ConfigError that tells where it looked.
    """
    named = argument or environ.get(_VARIABLE)
    if named:
        path = cwd / named
        if _may_be_there(path):
            return path
        source = "-c" if argument else f"${_VARIABLE}"
        raise _unreadable(str(path), "nothing there", f"the file that {source} names", _meant(path))
    places = [cwd / place for place in _USUAL_PLACES]
    for place in places:
        if _may_be_there(place):
            return place
    looked = " and ".join(str(place) for place in places)
    hint = f"name one with -c FILE or ${_VARIABLE}; {SMALLEST_FILE}"
    raise _unreadable("foregate", "no configuration file", f"one at {looked}", hint)


def read_source(path: str, *, may_wait: bool = True) -> bytes:
    """Return a configuration file's octets, up to one more than it may have. Raises ConfigError.

    Unless it `may_wait`, pipes and devices are refused: perhaps nobody ever writes to them.
    """
    try:
        with open(path, "rb", opener=None if may_wait else _open_at_once) as file:
            if not may_wait and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unreadable(
                    path, "a pipe or a device", "a file, which a running instance can read again"
                )
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _not_read(path, error) from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _may_be_there(path: Path) -> bool:
    """Tell whether there is something at a path. Raises ConfigError where the system does not even tell that."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _not_read(str(path), error) from error
    return True


def _meant(path: Path) -> str:
    """Guess which file was meant by one that is not there; else say how to begin one."""
    try:
        there = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".toml"]
    except FileNotFoundError:
        return f"there is no folder {path.parent}"
    except OSError:
        return ""
    near = get_close_matches(path.name, there, n=1)
    return f"did you mean {path.with_name(near[0])}?" if near else SMALLEST_FILE


def _cure(path: str, error: OSError) -> str:
    match error.errno:
        case errno.EISDIR:
            return f"name the file in it, such as {join(path, _USUAL_PLACES[0])}"
        case errno.EACCES:
            return f"this is user {os.geteuid()}: let that user read it and pass through the folders above it"
    return ""


def _not_read(path: str, error: OSError) -> ConfigError:
    reason = (error.strerror or str(error)).lower()
    return _unreadable(path, reason, "a file that can be read", _cure(path, error))


def _unreadable(path: str, found: str, expected: str, hint: str = "") -> ConfigError:
    return ConfigError((Fault(path, None, "", found, expected, hint),))
