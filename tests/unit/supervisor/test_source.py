"""The configuration file: read whole, and watched until it has been still for two polls."""

import os
from pathlib import Path

import pytest

from proxy.config.errors import ConfigError
from proxy.supervisor.source import ConfigFile, FileWatch, Fingerprint

GOOD = '[[site]]\ndomains = ["a.test"]\nupstream = "http://${APP}:3000"\n'


def state(number: int) -> Fingerprint:
    return Fingerprint(device=1, inode=number, modified_ns=0, size=10)


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    return ConfigFile(tmp_path / "proxy.toml", {"APP": "app"})


def test_reading_gives_configuration_and_state(file: ConfigFile) -> None:
    file.path.write_text(GOOD)
    loaded = file.read()
    assert loaded.config.sites[0].routes[0].upstream[0].host == "app"
    assert (loaded.digest, loaded.fingerprint) == (file.digest(), file.fingerprint())


def test_a_pipe_will_do(file: ConfigFile) -> None:
    reading, writing = os.pipe()
    os.write(writing, GOOD.encode())
    os.close(writing)
    file.path = Path(f"/dev/fd/{reading}")
    assert file.read().config.sites[0].domains == ("a.test",)
    os.close(reading)


def test_a_pipe_that_took_the_files_place_holds_nobody_up(file: ConfigFile) -> None:
    file.path.write_text(GOOD)
    file.read()
    file.path.unlink()
    os.mkfifo(file.path)
    assert (file.text(), file.digest()) == ("", None)
    with pytest.raises(
        ConfigError, match="found a pipe or a device, expected a file, which a running instance"
    ):
        file.read()


def test_a_file_that_is_not_there(file: ConfigFile) -> None:
    assert (file.fingerprint(), file.digest()) == (None, None)
    with pytest.raises(ConfigError, match=r"proxy\.toml"):
        file.read()


def test_a_rename_and_a_rewrite_change_the_state(file: ConfigFile) -> None:
    file.path.write_text(GOOD)
    before = file.fingerprint()
    draft = file.path.with_suffix(".new")
    draft.write_text(GOOD)
    os.utime(draft, ns=(0, file.path.stat().st_mtime_ns))
    draft.rename(file.path)
    assert file.fingerprint() != before
    assert file.digest() is not None


def test_a_file_mounted_by_itself_is_recognised(file: ConfigFile, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    file.path.write_text(GOOD)
    mounts.write_text(f"1 2 0:3 / / rw - ext4 x rw\n4 5 0:6 /p {tmp_path} rw - ext4 x rw\n")
    assert not file.is_mounted_alone(mounts)
    mounts.write_text(f"4 5 0:6 /proxy.toml {file.path} rw - ext4 x rw\n")
    assert file.is_mounted_alone(mounts)
    assert not file.is_mounted_alone(tmp_path / "missing")


def test_a_change_counts_when_it_has_been_still_for_two_polls() -> None:
    watch = FileWatch(state(1))
    assert [watch.poll(state(1)) for _ in range(3)] == [False] * 3
    assert [watch.poll(state(2)) for _ in range(5)] == [False, False, True, False, False]


def test_a_file_that_keeps_changing_is_waited_for() -> None:
    watch = FileWatch(state(1))
    assert not any(watch.poll(state(number)) for number in range(2, 20))
    assert [watch.poll(state(19)) for _ in range(2)] == [False, True]


def test_while_it_is_missing_nothing_happens() -> None:
    watch = FileWatch(state(1))
    assert not any(watch.poll(None) for _ in range(10))
    assert [watch.poll(state(2)) for _ in range(3)] == [False, False, True]


def test_a_change_that_is_taken_back_is_none() -> None:
    watch = FileWatch(state(1))
    watch.poll(state(2))
    assert not any(watch.poll(state(1)) for _ in range(5))


def test_what_was_read_on_order_is_known() -> None:
    watch = FileWatch(state(1))
    watch.poll(state(2))
    watch.settle(state(2))
    assert not any(watch.poll(state(2)) for _ in range(5))
