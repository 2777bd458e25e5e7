"""The limiter's state goes into a file that its owner alone can read, once, and no file keeps us from starting."""

import os
import stat
from pathlib import Path

import pytest

from proxy.clock import shared_clock
from proxy.supervisor.saved_limits import FILE_NAME, SavedLimitsFile
from proxy.traffic.limiter import TokenBucket

KIND = TokenBucket(60_000_000, 3)
CLIENT = 7 << 44 | 3


@pytest.fixture
def file(tmp_path: Path) -> SavedLimitsFile:
    return SavedLimitsFile(tmp_path)


def test_who_is_limited_stays_so_over_a_restart(file: SavedLimitsFile, tmp_path: Path) -> None:
    before = file.restored_table()
    now = shared_clock()
    assert [before.take(CLIENT, KIND, now) > 0 for _ in range(4)] == [False, False, False, True]
    file.save(before)
    saved = tmp_path / FILE_NAME
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [FILE_NAME]
    after = file.restored_table()
    assert after.key == before.key
    assert after.take(CLIENT, KIND, shared_clock()) > 0
    assert os.listdir(tmp_path) == []
    before.close()
    after.close()


def test_without_a_file_everybody_starts_with_a_full_bucket_and_a_new_key(file: SavedLimitsFile) -> None:
    one, other = file.restored_table(), file.restored_table()
    assert one.key != other.key
    assert one.take(CLIENT, KIND, shared_clock()) == 0
    one.close()
    other.close()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"foregate-limits\x01" + bytes(100)])
def test_a_damaged_file_is_put_away(file: SavedLimitsFile, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    file.restored_table().close()
    assert os.listdir(tmp_path) == []


def test_a_file_cut_short_is_put_away(file: SavedLimitsFile, tmp_path: Path) -> None:
    table = file.restored_table()
    table.take(CLIENT, KIND, shared_clock())
    file.save(table)
    saved = tmp_path / FILE_NAME
    saved.write_bytes(saved.read_bytes()[:-1])
    after = file.restored_table()
    assert after.take(CLIENT, KIND, shared_clock()) == 0
    table.close()
    after.close()


def test_a_draft_left_by_a_kill_is_written_over_and_no_link_is_followed(
    file: SavedLimitsFile, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / FILE_NAME).with_suffix(".new").symlink_to(victim)
    table = file.restored_table()
    file.save(table)
    assert victim.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [FILE_NAME, "victim"]
    table.close()


def test_a_storage_that_is_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    file = SavedLimitsFile(tmp_path / "gone")
    table = file.restored_table()
    file.save(table)
    table.close()
