"""Which file is meant, and what is said where it cannot be read."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config.errors import ConfigError
from proxy.config.places import find_config, read_source


def test_a_named_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch()
    (tmp_path / "b.toml").touch()
    (tmp_path / "proxy.toml").touch()
    environ = {"FOREGATE_CONFIG": str(tmp_path / "b.toml")}
    assert find_config("a.toml", environ, tmp_path) == tmp_path / "a.toml"
    assert find_config(None, environ, tmp_path) == tmp_path / "b.toml"
    assert find_config(None, {}, tmp_path) == tmp_path / "proxy.toml"
    assert find_config(None, {"FOREGATE_CONFIG": ""}, tmp_path) == tmp_path / "proxy.toml"


def test_a_named_file_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    (tmp_path / "proxy.toml").touch()
    with pytest.raises(ConfigError, match=r"gone.toml: found nothing there, .* the file that -c names"):
        find_config("gone.toml", {}, tmp_path)
    with pytest.raises(
        ConfigError, match=r"gone.toml: found nothing there, .* the file that \$FOREGATE_CONFIG names"
    ):
        find_config(None, {"FOREGATE_CONFIG": "gone.toml"}, tmp_path)


def test_a_name_that_the_system_does_not_look_up_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found file name too long, expected a file that can be read"):
        find_config("a" * 5000, {}, tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="loop: found too many levels of symbolic links"):
        find_config("loop", {}, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="found nothing there"):
        find_config("file/proxy.toml", {}, tmp_path)


def test_without_any_file_all_places_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "proxy.config.places._USUAL_PLACES", ("proxy.toml", str(tmp_path / "etc" / "proxy.toml"))
    )
    with pytest.raises(ConfigError) as caught:
        find_config(None, {}, tmp_path)
    message = str(caught.value)
    for part in (f"{tmp_path}/proxy.toml", f"{tmp_path}/etc/proxy.toml", "-c FILE", "$FOREGATE_CONFIG"):
        assert part in message
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "proxy.toml").touch()
    assert find_config(None, {}, tmp_path) == tmp_path / "etc" / "proxy.toml"


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("proxi.toml", "did you mean {folder}/proxy.toml?"),
        ("nothing-like-it", "three lines are enough"),
        ("gone/proxy.toml", "there is no folder {folder}/gone"),
    ],
)
def test_a_missing_file_says_what_to_do(tmp_path: Path, named: str, hint: str) -> None:
    (tmp_path / "proxy.toml").touch()
    with pytest.raises(ConfigError) as caught:
        find_config(named, {}, tmp_path)
    assert hint.format(folder=tmp_path) in str(caught.value)


def test_a_folder_instead_of_a_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"name the file in it, such as {tmp_path}/proxy.toml"):
        read_source(str(tmp_path))


def test_a_file_of_somebody_else_says_who_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match=rf"found permission denied, .* this is user {os.geteuid()}"):
        read_source(str(tmp_path / "proxy.toml"))


def test_a_command_that_asks_an_instance_loads_no_parser_of_configurations() -> None:
    # A container's health check is such a command, twice a minute for as long as the container lives.
    program = "import sys, proxy.cli; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
