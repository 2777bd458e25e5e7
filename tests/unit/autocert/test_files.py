"""Files that are either old or new, reached without following links, closed to others."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from autocert.errors import StorageError, WrongCertificateError
from autocert.files import Disk, Folder


class StoppingDisk(Disk):
    """A disk at which the process is stopped before its n-th change; the temporary file of a write then stays."""

    class StoppedError(BaseException):
        """Stands for a kill: nothing after it runs, no cleaning up either."""

    def __init__(self, changes: int) -> None:
        self._left = changes

    def _change(self) -> None:
        if self._left == 0:
            raise self.StoppedError
        self._left -= 1

    def create(self, name: str, folder: int) -> int:
        self._change()
        return super().create(name, folder)

    def write(self, descriptor: int, content: bytes) -> None:
        self._change()
        half = len(content) // 2
        super().write(descriptor, content[:half])
        self._change()
        super().write(descriptor, content[half:])

    def sync(self, descriptor: int) -> None:
        self._change()

    def rename(self, old: str, new: str, folder: int) -> None:
        self._change()
        super().rename(old, new, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder.enter(tmp_path / "storage", Disk(), create=True) as found:
        yield found


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path, follow_symlinks=False).st_mode)


def test_content_is_replaced(folder: Folder) -> None:
    folder.write("a", b"one")
    folder.write("a", b"two")
    assert folder.read("a") == b"two"
    assert folder.names() == ["a"]


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with (
            Folder.enter(tmp_path / "s", Disk(), create=True) as root,
            root.inner("in", create=True) as inner,
        ):
            inner.write("a", b"secret")
    finally:
        os.umask(old)
    assert [mode(tmp_path / path) for path in ("s", "s/in", "s/in/a")] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("changes", range(8))
def test_a_stop_at_any_change_leaves_the_old_or_the_new(tmp_path: Path, changes: int) -> None:
    with Folder.enter(tmp_path, Disk()) as folder:
        folder.write("a", b"old content")
    with Folder.enter(tmp_path, StoppingDisk(changes)) as folder, suppress(StoppingDisk.StoppedError):
        folder.write("a", b"new content")
    with Folder.enter(tmp_path, Disk()) as folder:
        assert folder.read("a") in {b"old content", b"new content"}


def test_what_a_stop_leaves_behind_is_dropped_when_it_is_old(tmp_path: Path) -> None:
    with Folder.enter(tmp_path, StoppingDisk(2)) as folder, pytest.raises(StoppingDisk.StoppedError):
        folder.write("a", b"new content")
    with Folder.enter(tmp_path, Disk()) as folder:
        (left,) = folder.names()
        now = os.stat(tmp_path / left).st_mtime
        folder.drop_leftovers(now + 60)
        assert folder.names() == [left]
        folder.drop_leftovers(now + 3601)
        assert folder.names() == []


class FullDisk(Disk):
    """A disk without room; `error` is what the system says."""

    def __init__(self, error: int = errno.ENOSPC) -> None:
        self._error = error

    def write(self, descriptor: int, content: bytes) -> None:
        super().write(descriptor, content[:3])
        raise OSError(self._error, os.strerror(self._error))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_changes_nothing(tmp_path: Path, error: int) -> None:
    with Folder.enter(tmp_path, Disk()) as folder:
        folder.write("a", b"old")
    with Folder.enter(tmp_path, FullDisk(error)) as folder:
        with pytest.raises(StorageError) as caught:
            folder.write("a", b"newer")
        assert caught.value.cause.errno == error
        assert folder.read("a") == b"old"
        assert folder.names() == ["a"]


def test_links_are_neither_read_nor_written_through(folder: Folder, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    os.symlink(precious, f"{folder.path}/link")
    with pytest.raises(WrongCertificateError, match="symbolic link"):
        folder.read("link")
    folder.write("link", b"ours")
    assert precious.read_bytes() == b"precious"
    assert folder.read("link") == b"ours"


def test_a_linked_folder_is_not_entered(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", f"{folder.path}/inner")
    with pytest.raises(StorageError):
        folder.inner("inner", create=True)


def test_the_storage_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "data", tmp_path / "ssl")
    with Folder.enter(tmp_path / "ssl", Disk(), create=True) as folder:
        folder.write("a", b"one")
    assert (tmp_path / "data" / "a").read_bytes() == b"one"


def test_a_pipe_does_not_hold_us_up(folder: Folder) -> None:
    os.mkfifo(f"{folder.path}/pipe")
    with pytest.raises(WrongCertificateError, match="regular"):
        folder.read("pipe")


def test_files_open_to_others_are_closed_and_named(folder: Folder) -> None:
    folder.write("a", b"secret")
    os.chmod(f"{folder.path}/a", 0o644)
    os.chmod(folder.path, 0o755)
    with Folder.enter(Path(folder.path), Disk()) as again:
        assert again.read("a") == b"secret"
        assert again.closed_to_others == [folder.path, f"{folder.path}/a"]
    assert mode(f"{folder.path}/a") == 0o600
    assert mode(folder.path) == 0o700


def test_a_file_of_another_user_is_not_trusted(folder: Folder) -> None:
    folder.write("a", b"planted")
    os.chown(f"{folder.path}/a", 12345, -1)
    with pytest.raises(WrongCertificateError, match="another user"):
        folder.read("a")


def test_a_huge_file_is_not_read_whole(folder: Folder) -> None:
    with open(f"{folder.path}/big", "wb") as big:
        big.truncate(1 << 30)
    assert len(folder.read("big")) <= (1 << 20) + 1


def test_missing_files(folder: Folder) -> None:
    with pytest.raises(StorageError) as caught:
        folder.read("none")
    assert caught.value.cause.errno == errno.ENOENT
    assert folder.signature("none") is None
    folder.remove("none")


def test_a_lock_is_held_by_one(folder: Folder) -> None:
    held = folder.try_lock("name")
    assert held is not None
    assert folder.try_lock("name") is None
    os.close(held)
    again = folder.try_lock("name")
    assert again is not None
    os.close(again)


def test_a_lock_on_a_removed_file_is_worth_nothing(folder: Folder) -> None:
    held = folder.try_lock("name")
    assert held is not None
    folder.remove("name")
    other = folder.try_lock("name")
    assert other is not None, "the file is a new one"
    os.close(held)
    os.close(other)


def test_a_folder_is_removed_with_its_files(folder: Folder) -> None:
    with folder.inner("in", create=True) as inner:
        inner.write("a", b"1")
        inner.write("b", b"2")
    folder.remove_folder("in")
    assert folder.names() == []
