"""The storage folder as a whole."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from autocert.certificate import Certificate, checked
from autocert.errors import StorageError
from autocert.names import identifier
from autocert.record import Record
from autocert.storage import Storage
from tests.fakes.autocert_world import FastDisk
from tests.fakes.root_ca import TestCa

NOW = 1_800_000_000.0
CA = TestCa(now=NOW)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(tmp_path / "deep" / "ssl", FastDisk())
    found.prepare(NOW)
    return found


def made(*names: str, stored_at: float = NOW) -> Certificate:
    key, chain = CA.issue(list(names))
    return checked(key, chain, names=names, origin="https://ca/dir", profile="", stored_at=stored_at)


def test_nothing_is_found_where_nothing_is(storage: Storage) -> None:
    assert storage.load("a.com", NOW).value is None
    assert storage.signature("a.com") is None
    assert storage.restore("a.com", NOW) is None
    assert storage.load_record("a.com", NOW) == Record()
    assert storage.identifiers() == []


@pytest.mark.parametrize("names", [("a.com",), ("a.com", "b.com"), ("2001:db8::1",), ("*",)])
def test_a_certificate_is_found_again(storage: Storage, names: tuple[str, ...]) -> None:
    certificate, ident = made(*names), identifier(names)
    signature = storage.save(ident, certificate)
    found = storage.load(ident, NOW)
    assert found.value == certificate
    assert found.signature == signature == storage.signature(ident)
    assert storage.identifiers() == [ident]


def test_saving_forgets_the_order_it_came_from(storage: Storage) -> None:
    storage.save_order("a.com", b"order")
    assert storage.load_order("a.com", bytes, NOW) == b"order"
    storage.save("a.com", made("a.com"))
    assert storage.load_order("a.com", bytes, NOW) is None


def test_swapped_files_are_noticed(storage: Storage) -> None:
    for name in ("a.com", "b.com"):
        storage.save(name, made(name))
    one, other = (storage.root / "certificates" / name / "current" for name in ("a.com", "b.com"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    for name, held in (("a.com", "b.com"), ("b.com", "a.com")):
        found = storage.load(name, NOW)
        assert found.value is None
        assert [damage.reason for damage in found.damage] == [f"it is for {held}"]


def test_restore_exchanges_the_two_versions(storage: Storage) -> None:
    one, two = made("a.com"), made("a.com", stored_at=NOW + 1)
    storage.save("a.com", one)
    storage.save("a.com", two)
    assert storage.restore("a.com", NOW + 2) == replace(one, stored_at=NOW + 2)
    assert storage.load("a.com", NOW).value == replace(one, stored_at=NOW + 2)
    assert storage.restore("a.com", NOW + 3) == replace(two, stored_at=NOW + 3)


def test_a_damaged_previous_is_not_restored(storage: Storage) -> None:
    storage.save("a.com", made("a.com"))
    storage.save("a.com", made("a.com"))
    (storage.root / "certificates" / "a.com" / "previous").write_bytes(b"junk")
    assert storage.restore("a.com", NOW) is None
    assert storage.load("a.com", NOW).value is not None


def test_erasing_leaves_nothing(storage: Storage) -> None:
    storage.save("a.com", made("a.com"))
    storage.save_record("a.com", Record(names=("a.com",)))
    lock = storage.try_lock("a.com")
    assert lock is not None
    storage.erase("a.com")
    lock.release()
    assert storage.identifiers() == []
    assert list((storage.root / "locks").iterdir()) == []


def test_a_file_where_a_folder_belongs_is_moved_away(storage: Storage) -> None:
    (storage.root / "certificates" / "a.com").write_bytes(b"not a folder")
    storage.save("a.com", made("a.com"))
    assert storage.load("a.com", NOW).value is not None
    assert storage.identifiers() == ["a.com"]
    (aside,) = (storage.root / "certificates").glob("a.com.corrupt-*")
    assert not aside.name.startswith("a.com.corrupt-1970")  # named by the time at which it was found


def test_a_link_where_a_folder_belongs_is_moved_away(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", storage.root / "certificates" / "a.com")
    storage.save("a.com", made("a.com"))
    assert storage.load("a.com", NOW).value is not None
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_deleted_storage_is_made_anew(storage: Storage) -> None:
    import shutil

    shutil.rmtree(storage.root)
    assert storage.load("a.com", NOW).value is None
    storage.save("a.com", made("a.com"))
    assert storage.load("a.com", NOW).value is not None


def test_openings_are_collected(storage: Storage) -> None:
    storage.save("a.com", made("a.com"))
    path = storage.root / "certificates" / "a.com" / "current"
    os.chmod(path, 0o644)
    storage.load("a.com", NOW)
    assert storage.closed_to_others == [str(path)]


def test_a_lock_is_given_back_when_it_is_forgotten(storage: Storage) -> None:
    lock = storage.try_lock("a.com")
    assert lock is not None
    assert storage.try_lock("a.com") is None
    del lock
    again = storage.try_lock("a.com")
    assert again is not None
    again.release()
    again.release()


def test_a_lock_that_stays_taken_is_an_error(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autocert.storage._PATIENCE", 0.0)
    with storage.locked("x"), pytest.raises(StorageError, match="stays taken"), storage.locked("x"):
        pass
    with storage.locked("x"):
        pass


def test_unreadable_storage_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    storage = Storage(tmp_path / "file", FastDisk())
    with pytest.raises(StorageError):
        storage.prepare(NOW)
    with pytest.raises(StorageError):
        storage.load("a.com", NOW)
