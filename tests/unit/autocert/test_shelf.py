"""Current and previous version of a document, and what takes over when one is damaged."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autocert import shelf
from autocert.errors import StorageError, WrongCertificateError
from autocert.files import Disk, Folder

NOW = 1_800_000_000.0


def parse(content: bytes) -> str:
    if not content.startswith(b"good "):
        raise WrongCertificateError("it is bad")
    return content.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder.enter(tmp_path, Disk()) as found:
        yield found


@pytest.fixture
def filled(folder: Folder) -> Folder:
    shelf.put(folder, b"good 1", parse, NOW)
    shelf.put(folder, b"good 2", parse, NOW)
    return folder


def test_the_latest_is_current_and_the_one_before_is_kept(filled: Folder) -> None:
    found = shelf.take(filled, parse, NOW)
    assert (found.value, found.damage, found.from_previous) == ("good 2", (), False)
    assert found.signature == filled.signature("current")
    assert filled.read("previous") == b"good 1"


def test_an_empty_folder_holds_nothing(folder: Folder) -> None:
    found = shelf.take(folder, parse, NOW)
    assert (found.value, found.damage) == (None, ())


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3])


def linked(path: Path) -> None:
    path.unlink()
    os.symlink("/etc/passwd", path)


def turned_into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [emptied, truncated, linked, turned_into_a_folder]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_current_is_set_aside_and_the_previous_takes_over(
    filled: Folder, damage: Callable[[Path], None]
) -> None:
    damage(Path(filled.path) / "current")
    found = shelf.take(filled, parse, NOW)
    assert (found.value, found.from_previous) == ("good 1", True)
    assert len(found.damage) == 1
    assert found.damage[0].set_aside_as.startswith("current.corrupt-20270115T080000Z")
    assert found.damage[0].set_aside_as in filled.names()
    again = shelf.take(filled, parse, NOW)
    assert again.value == "good 1"


def test_a_deleted_current_is_reported_and_the_previous_takes_over(filled: Folder) -> None:
    filled.remove("current")
    found = shelf.take(filled, parse, NOW)
    assert found.value == "good 1"
    assert [one.reason for one in found.damage] == ["the file is missing"]


def test_both_damaged_leaves_nothing(filled: Folder) -> None:
    for name in ("current", "previous"):
        emptied(Path(filled.path) / name)
    found = shelf.take(filled, parse, NOW)
    assert found.value is None
    assert len(found.damage) == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_current_never_replaces_a_good_previous(
    filled: Folder, damage: Callable[[Path], None]
) -> None:
    damage(Path(filled.path) / "current")
    shelf.put(filled, b"good 3", parse, NOW)
    assert filled.read("previous") == b"good 1"
    assert shelf.take(filled, parse, NOW).value == "good 3"


def test_putting_the_same_again_keeps_the_previous(filled: Folder) -> None:
    shelf.put(filled, b"good 2", parse, NOW)
    assert filled.read("previous") == b"good 1"


def test_only_a_few_damaged_files_are_kept(filled: Folder) -> None:
    for hour in range(8):
        emptied(Path(filled.path) / "current")
        shelf.take(filled, parse, NOW + hour * 3600)
    aside = [name for name in filled.names() if ".corrupt-" in name]
    assert len(aside) == 3
    assert aside[-1].startswith("current.corrupt-20270115T15")


class ReadOnlyDisk(Disk):
    def rename(self, old: str, new: str, folder: int) -> None:
        raise OSError(30, "Read-only file system")


def test_on_a_read_only_disk_the_previous_takes_over_too(filled: Folder) -> None:
    emptied(Path(filled.path) / "current")
    with Folder.enter(Path(filled.path), ReadOnlyDisk()) as folder:
        found = shelf.take(folder, parse, NOW)
        assert (found.value, found.damage[0].set_aside_as) == ("good 1", "")
        assert "current" in folder.names()


def test_what_cannot_be_read_for_the_disk_s_sake_is_no_damage(
    filled: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_self: Folder, name: str) -> bytes:
        raise StorageError(OSError(5, "Input/output error"), name)

    monkeypatch.setattr(Folder, "read", failing)
    with pytest.raises(StorageError):
        shelf.take(filled, parse, NOW)
    assert filled.names() == ["current", "previous"]


def test_a_single_document_is_set_aside_when_damaged(folder: Folder) -> None:
    assert shelf.take_one(folder, "state", parse, NOW) is None
    folder.write("state", b"good 1")
    assert shelf.take_one(folder, "state", parse, NOW) == "good 1"
    folder.write("state", b"bad")
    assert shelf.take_one(folder, "state", parse, NOW) is None
    assert "state" not in folder.names()
