"""Change files so that a crash at any moment leaves the old content or the new, never anything between.

Theory of operation. A Folder is entered by descriptor and everything in it is reached relative to that
descriptor without following symbolic links, so that nobody who can plant a link can make us write, read or
delete elsewhere. Content is replaced by writing a temporary file, forcing it to disk, renaming it over the
old one and forcing the folder to disk. All calls that change the disk go through `Disk`, so that tests can
fill it up, make it read-only or stop it between any two calls.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from autocert.errors import StorageError, WrongCertificateError

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_LARGEST_FILE: Final = 1 << 20
_TEMPORARY: Final = ".tmp-"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Disk:
    """The calls that change the disk."""

    def create(self, name: str, folder: int) -> int:
        """Create a file that did not exist and return its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, FILE_MODE, dir_fd=folder)

    def write(self, descriptor: int, content: bytes) -> None:
        """Write all of the content."""
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Force a file or folder to the disk."""
        os.fsync(descriptor)

    def rename(self, old: str, new: str, folder: int) -> None:
        """Give a file another name, in place of what had it."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, name: str, folder: int) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=folder)

    def remove_folder(self, name: str, folder: int) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=folder)

    def make_folder(self, name: str, folder: int) -> None:
        """Make a folder that only we may enter."""
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells one version of a file from another without reading it."""

    inode: int
    size: int
    changed_ns: int


class Folder:
    """An open folder; `path` is for messages, `closed_to_others` collects what was open to other users."""

    def __init__(self, descriptor: int, path: str, disk: Disk, closed_to_others: list[str]) -> None:
        self._descriptor = descriptor
        self.path = path
        self._disk = disk
        self.closed_to_others = closed_to_others
        self._close_to_others(descriptor, path, FOLDER_MODE)

    @classmethod
    def enter(cls, path: Path, disk: Disk, *, create: bool = False) -> Self:
        """Enter the root of the storage, which may itself be reached by links: its operator chose it."""
        with _named(str(path)):
            if create:
                path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            return cls(os.open(path, _ENTER), str(path), disk, [])

    def inner(self, name: str, *, create: bool = False) -> "Folder":
        """Enter a folder in this one; raises StorageError when it is missing and not to be created."""
        path = f"{self.path}/{name}"
        with _named(path):
            if create:
                with suppress(FileExistsError):
                    self._disk.make_folder(name, self._descriptor)
                    self._disk.sync(self._descriptor)
            descriptor = os.open(name, _ENTER | os.O_NOFOLLOW, dir_fd=self._descriptor)
            return Folder(descriptor, path, self._disk, self.closed_to_others)

    def __enter__(self) -> Self:
        """Use the folder in a with statement, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def read(self, name: str) -> bytes:
        """Return a file's content, at most 1 MiB of it.

        Raises StorageError, or WrongCertificateError for what is no regular file or is another user's.
        """
        path = f"{self.path}/{name}"
        with _named(path):
            descriptor = self._open_to_read(name)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise WrongCertificateError("it is not a regular file")
                if status.st_uid not in {0, os.geteuid(), os.fstat(self._descriptor).st_uid}:
                    raise WrongCertificateError(f"it belongs to another user (uid {status.st_uid})")
                self._close_to_others(descriptor, path, FILE_MODE)
                return os.read(descriptor, min(status.st_size, _LARGEST_FILE) + 1)
            finally:
                os.close(descriptor)

    def _open_to_read(self, name: str) -> int:
        try:
            return os.open(name, _READ, dir_fd=self._descriptor)
        except PermissionError:
            # Our own file under a mode that shuts even us out (a restored backup, a wild chmod).
            if not stat.S_ISREG(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode):
                raise
            os.chmod(name, FILE_MODE, dir_fd=self._descriptor)
            return os.open(name, _READ, dir_fd=self._descriptor)
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                raise WrongCertificateError("it is a symbolic link") from exc
            raise

    def write(self, name: str, content: bytes) -> None:
        """Replace a file's content, or leave it as it was and raise StorageError."""
        temporary = f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
        with _named(f"{self.path}/{name}"):
            try:
                self._write_temporary(temporary, content)
                self._disk.rename(temporary, name, self._descriptor)
            except OSError:
                with suppress(OSError):
                    self._disk.remove(temporary, self._descriptor)
                raise
            self._disk.sync(self._descriptor)

    def _write_temporary(self, name: str, content: bytes) -> None:
        descriptor = self._disk.create(name, self._descriptor)
        try:
            self._disk.write(descriptor, content)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, durably."""
        with _named(f"{self.path}/{old}"):
            self._disk.rename(old, new, self._descriptor)
            self._disk.sync(self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        with _named(f"{self.path}/{name}"), suppress(FileNotFoundError):
            self._disk.remove(name, self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove a folder of files in this one, its files first."""
        with self.inner(name) as folder:
            for entry in folder.names():
                folder.remove(entry)
        with _named(f"{self.path}/{name}"):
            self._disk.remove_folder(name, self._descriptor)

    def names(self) -> list[str]:
        """Return the names of all entries, sorted."""
        with _named(self.path):
            return sorted(os.listdir(self._descriptor))

    def signature(self, name: str) -> Signature | None:
        """Return the file's signature, None when there is none."""
        with _named(f"{self.path}/{name}"):
            try:
                status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
            except FileNotFoundError:
                return None
        return Signature(status.st_ino, status.st_size, status.st_mtime_ns)

    def drop_leftovers(self, now: float) -> None:
        """Remove temporary files that a crash left behind an hour or more ago."""
        for name in self.names():
            if name.startswith(_TEMPORARY):
                signature = self.signature(name)
                if signature is not None and signature.changed_ns / 1e9 < now - 3600:
                    self.remove(name)

    def try_lock(self, name: str) -> int | None:
        """Take the lock of that name; return the descriptor that holds it, None when somebody else does.

        The lock ends with the descriptor, so a crash frees it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with _named(f"{self.path}/{name}"):
            descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its last holder may have removed the file between our two calls: then this locks nothing.
                if os.stat(name, dir_fd=self._descriptor).st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)
        return None

    def _close_to_others(self, descriptor: int, path: str, mode: int) -> None:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077 and os.geteuid() in {0, status.st_uid}:
            # A read-only or foreign file system may refuse; the content is still ours to read.
            with suppress(OSError):
                os.fchmod(descriptor, mode)
                self.closed_to_others.append(path)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn the system's errors into ours, with the path in them."""
    try:
        yield
    except OSError as exc:
        raise StorageError(exc, path) from exc
