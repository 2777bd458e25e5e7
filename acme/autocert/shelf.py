"""Keep one document per folder, the current version and the one before it, and heal what is damaged."""

import errno
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from autocert.errors import StorageError, WrongCertificateError
from autocert.files import Folder, Signature

T = TypeVar("T")

CURRENT: Final = "current"
PREVIOUS: Final = "previous"
# Set-aside files are kept for whoever wants to know what happened, but must not fill the disk.
_KEPT_ASIDE: Final = 3


@dataclass(frozen=True, slots=True)
class Damage:
    """A stored file that could not be used: which, why, and its new name ("" when it was not moved)."""

    path: str
    reason: str
    set_aside_as: str


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a folder held: the value, if any, what was damaged, and the signature of the current file."""

    value: T | None
    damage: tuple[Damage, ...] = ()
    from_previous: bool = False
    signature: Signature | None = None


def put(folder: Folder, content: bytes, parse: Callable[[bytes], T], now: float) -> Signature | None:
    """Make the content current; what was current becomes the previous version if it is whole.

    A damaged current file never replaces a good previous one. Raises StorageError, both files then being what
    they were or newer.
    """
    old: bytes | None = None
    try:
        old = folder.read(CURRENT)
        parse(old)
    except WrongCertificateError as exc:
        set_aside(folder, CURRENT, str(exc), now)
        old = None
    except StorageError:
        old = None
    if old is not None and old != content:
        folder.write(PREVIOUS, old)
    folder.write(CURRENT, content)
    return folder.signature(CURRENT)


def take(folder: Folder, parse: Callable[[bytes], T], now: float) -> Found[T]:
    """Return the current version, or the previous one when that is damaged or gone.

    Raises StorageError when neither could be read for a reason that lies in the disk or its rights.
    """
    damage: list[Damage] = []
    failed: StorageError | None = None
    signature = folder.signature(CURRENT)
    for name in (CURRENT, PREVIOUS):
        try:
            value = parse(folder.read(name))
        except WrongCertificateError as exc:
            damage.append(set_aside(folder, name, str(exc), now))
        except StorageError as exc:
            if exc.cause.errno != errno.ENOENT:
                failed = exc
        else:
            if name == PREVIOUS and not damage and failed is None:
                damage.append(Damage(f"{folder.path}/{CURRENT}", "the file is missing", ""))
            return Found(value, tuple(damage), name == PREVIOUS, signature if name == CURRENT else None)
    if failed is not None:
        raise failed
    return Found(None, tuple(damage))


def take_one(folder: Folder, name: str, parse: Callable[[bytes], T], now: float) -> T | None:
    """Return a document that has no previous version, None when it is missing or damaged."""
    try:
        return parse(folder.read(name))
    except WrongCertificateError as exc:
        set_aside(folder, name, str(exc), now)
        return None
    except StorageError as exc:
        if exc.cause.errno == errno.ENOENT:
            return None
        raise


def set_aside(folder: Folder, name: str, reason: str, now: float) -> Damage:
    """Move a damaged file out of the way, keeping the latest few of them."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    aside = f"{name}.corrupt-{stamp}-{secrets.token_hex(2)}"
    try:
        folder.rename(name, aside)
        for old in [entry for entry in folder.names() if entry.startswith(f"{name}.corrupt-")][:-_KEPT_ASIDE]:
            folder.remove(old)
    except StorageError:
        # A read-only disk: it stays where it is, and is passed over again next time.
        return Damage(f"{folder.path}/{name}", reason, "")
    return Damage(f"{folder.path}/{name}", reason, aside)
