"""Keep certificates, their states, accounts and the ledger in one folder that heals itself.

certificates/NAME/current   key, chain and notes of the certificate in use, under a checksum
                  previous  the one before it
                  state     attempts, last problem, renewal window
                  order     an order under way, with its key
accounts/CA/current         the account at a CA
ledger/current              what was asked of the CAs, for the budget
local-ca/current            root of the local CA; root.pem is the same certificate for people to trust
locks/NAME                  held by the one process that orders for NAME
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from autocert import certificate as certificates
from autocert import names as naming
from autocert import record as records
from autocert import shelf
from autocert.certificate import Certificate
from autocert.errors import StorageError, WrongCertificateError
from autocert.files import Disk, Folder, Signature
from autocert.record import Record
from autocert.shelf import Found

T = TypeVar("T")

CERTIFICATES: Final = "certificates"
_STATE: Final = "state"
_ORDER: Final = "order"
# Whoever holds a lock to the end writes a few small files; longer than this a disk hangs.
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.01


class Lock:
    """A right that one process has at a time, held until `release`.

    It is given back also when the lock is merely forgotten, as when the task that waited for it is cancelled.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the right back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        """Give the right back."""
        self.release()


class Storage:
    """The storage folder; every method blocks on the disk, so call it off the event loop."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self._disk = disk or Disk()
        # Paths that other users could read, until now; the manager reports and empties it.
        self.closed_to_others: list[str] = []

    def prepare(self, now: float) -> None:
        """Make the folder if needed and clear what a crash left behind; raises StorageError."""
        for top in (CERTIFICATES, "accounts", "locks", "ledger", "local-ca"):
            with self._folder(top, create=True) as folder:
                folder.drop_leftovers(now)
                inner = _folder_names(folder) if top in {CERTIFICATES, "accounts"} else []
            for name in inner:
                with self._folder(top, name) as folder:
                    folder.drop_leftovers(now)

    def identifiers(self) -> list[str]:
        """Return the folder names of all stored certificates."""
        with self._folder(CERTIFICATES) as folder:
            return _folder_names(folder)

    # Certificates

    def load(self, ident: str, now: float) -> Found[Certificate]:
        """Return the stored certificate; what is damaged is set aside and the previous one takes over."""

        def parse(content: bytes) -> Certificate:
            certificate = certificates.unsealed(content)
            if not certificate.names or naming.identifier(certificate.names) != ident:
                raise WrongCertificateError(f"it is for {', '.join(certificate.names) or 'no name'}")
            return certificate

        return self._taken(parse, now, CERTIFICATES, ident)

    def save(self, ident: str, certificate: Certificate) -> Signature | None:
        """Make the certificate current, keep the one before it, and forget the order it came from."""
        with self._folder(CERTIFICATES, ident, create=True) as folder:
            signature = shelf.put(folder, certificate.sealed(), certificates.unsealed, certificate.stored_at)
            folder.remove(_ORDER)
            return signature

    def signature(self, ident: str) -> Signature | None:
        """Return what tells whether another process has changed the current certificate."""
        try:
            with self._folder(CERTIFICATES, ident) as folder:
                return folder.signature(shelf.CURRENT)
        except StorageError as exc:
            if exc.cause.errno == errno.ENOENT:
                return None
            raise

    def restore(self, ident: str, now: float) -> Certificate | None:
        """Exchange the current certificate and the previous one; None when there is no usable one."""
        try:
            with self._folder(CERTIFICATES, ident) as folder:
                previous = certificates.unsealed(folder.read(shelf.PREVIOUS))
                # Stored now: other processes take over what was stored last.
                certificate = replace(previous, stored_at=now)
                shelf.put(folder, certificate.sealed(), certificates.unsealed, now)
                return certificate
        except WrongCertificateError:
            return None
        except StorageError as exc:
            if exc.cause.errno == errno.ENOENT:
                return None
            raise

    def erase(self, ident: str) -> None:
        """Remove everything that is kept of a certificate."""
        with self._folder(CERTIFICATES) as folder:
            folder.remove_folder(ident)
        with self._folder("locks") as locks:
            locks.remove(ident)

    # States and orders under way

    def load_record(self, ident: str, now: float) -> Record:
        """Return the state, an empty one when there is none or it is damaged."""
        return self._taken_one(_STATE, records.unsealed, ident, now) or Record()

    def save_record(self, ident: str, record: Record) -> None:
        """Keep the state."""
        with self._folder(CERTIFICATES, ident, create=True) as folder:
            folder.write(_STATE, record.sealed())

    def load_order(self, ident: str, parse: Callable[[bytes], T], now: float) -> T | None:
        """Return the order under way, if one was when the process ended."""
        return self._taken_one(_ORDER, parse, ident, now)

    def save_order(self, ident: str, content: bytes) -> None:
        """Keep an order that is under way."""
        with self._folder(CERTIFICATES, ident, create=True) as folder:
            folder.write(_ORDER, content)

    def drop_order(self, ident: str) -> None:
        """Forget the order under way."""
        with self._folder(CERTIFICATES, ident) as folder:
            folder.remove(_ORDER)

    # Accounts, the ledger and the local CA: one document in a folder each

    def load_document(self, parse: Callable[[bytes], T], now: float, *path: str) -> Found[T]:
        """Return the document in a folder."""
        return self._taken(parse, now, *path)

    def save_document(self, content: bytes, parse: Callable[[bytes], T], now: float, *path: str) -> None:
        """Make the content the current version of the document."""
        with self._folder(*path, create=True) as folder:
            shelf.put(folder, content, parse, now)

    def save_copy(self, content: bytes, name: str, *path: str) -> None:
        """Keep a plain file beside a document, for people."""
        with self._folder(*path, create=True) as folder:
            folder.write(name, content)

    def try_writing(self) -> None:
        """Write and remove a file of no meaning; raises StorageError."""
        with self._folder(create=True) as folder:
            folder.write("trial", b"This file may be removed.\n")
            folder.remove("trial")

    def try_lock(self, name: str) -> Lock | None:
        """Take the lock of that name, None when another process (or task) has it."""
        with self._folder("locks", create=True) as folder:
            descriptor = folder.try_lock(name)
        return None if descriptor is None else Lock(descriptor)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock of that name; raises StorageError (EBUSY) when somebody does not let go of it."""
        ends = time.monotonic() + _PATIENCE
        while (lock := self.try_lock(name)) is None:
            if time.monotonic() > ends:
                raise StorageError(OSError(errno.EBUSY, f"the lock {name} stays taken"), str(self.root))
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            lock.release()

    # The ways in

    @contextmanager
    def _folder(self, *path: str, create: bool = False) -> Iterator[Folder]:
        folder = Folder.enter(self.root, self._disk, create=create)
        try:
            for name in path:
                inner = self._inner(folder, name, create=create)
                folder.__exit__()
                folder = inner
            yield folder
        finally:
            self.closed_to_others += folder.closed_to_others
            folder.__exit__()

    def _inner(self, folder: Folder, name: str, *, create: bool) -> Folder:
        try:
            return folder.inner(name, create=create)
        except StorageError as exc:
            # A file or a link where a folder belongs: move it away, as any other damage.
            if exc.cause.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            shelf.set_aside(folder, name, "it is not a folder", time.time())
            return folder.inner(name, create=True)

    def _taken(self, parse: Callable[[bytes], T], now: float, *path: str) -> Found[T]:
        try:
            with self._folder(*path) as folder:
                return shelf.take(folder, parse, now)
        except StorageError as exc:
            if exc.cause.errno == errno.ENOENT:
                return Found(None)
            raise

    def _taken_one(self, name: str, parse: Callable[[bytes], T], ident: str, now: float) -> T | None:
        try:
            with self._folder(CERTIFICATES, ident) as folder:
                return shelf.take_one(folder, name, parse, now)
        except StorageError as exc:
            if exc.cause.errno == errno.ENOENT:
                return None
            raise


def _folder_names(folder: Folder) -> list[str]:
    return [name for name in folder.names() if ".corrupt-" not in name and not name.startswith(".")]
