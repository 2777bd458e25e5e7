"""The commands of the documentation, run: those that ask an instance against a real one, imports on real files."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli import main
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.pages import Command, commands, snippets
from tests.unit.importing.test_auto_ssl import stored
from tests.unit.importing.test_certbot import lineage

# These do not come to an end by themselves, or end what the other commands ask.
NOT_HERE = {
    "run": "every integration test runs it",
    "demo": "tests/unit/cli and the demo's own tests run it",
    "upgrade": "tests/integration/test_upgrade.py runs it",
}
NGINX = "server { listen 80; server_name a.example.com; location / { proxy_pass http://127.0.0.1:3000; } }"


def _runnable() -> list[Command]:
    found = (command for s in snippets() if s.language == "sh" for command in commands(s))
    ours = [command for command in found if command.program == "foregate" and len(command.words) > 1]
    # A command that stands on several pages is run once.
    return list({command.words[1:]: command for command in ours if command.words[1] not in NOT_HERE}.values())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foregate]:
    folder = tmp_path_factory.mktemp("running")
    config = configuration("http://127.0.0.1:9", workers=1).replace("https = []", 'https = ["127.0.0.1:0"]')
    config = config.replace('mode = "off"', 'mode = "self-signed"').replace(
        '"*"', '"app.example.com", "localhost"'
    )
    foregate = Foregate(folder, config, environ={"FOREGATE_RESOLVER": "127.0.0.1:9"})
    try:
        foregate.wait_serving(1)
        foregate.wait("certificate in use", 2)
        yield foregate
    finally:
        foregate.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files of a machine on which nginx, nginx-auto-ssl and certbot have been at work."""
    (tmp_path / "etc" / "nginx").mkdir(parents=True)
    (tmp_path / "etc" / "nginx" / "nginx.conf").write_text(NGINX)
    lineage(tmp_path / "etc" / "letsencrypt", "b", "b.example.com")
    volume = tmp_path / "var/lib/docker/volumes/ssl_data/_data"
    volume.mkdir(parents=True)
    stored(volume, "c.example.com")
    (tmp_path / "auto-ssl-data").symlink_to(volume)
    (tmp_path / "auto-ssl.env").write_text("SITES=c.example.com=app:3000\n")
    (tmp_path / "foregate").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _adapted(words: tuple[str, ...], world: Path, file: Path) -> list[str]:
    """Return a command line for this world: its files, the running instance's configuration."""
    adapted = [str(world) + word if word.startswith(("/etc/", "/var/")) else word for word in words]
    for option in ("-c", "--config"):
        if option in adapted:
            adapted[adapted.index(option) + 1] = str(file)
    return adapted


@pytest.mark.parametrize("command", _runnable(), ids=str)
def test_a_command_does_what_it_is_there_for(
    command: Command,
    running: Foregate,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FOREGATE_CONFIG", str(running.file))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SITES=d.example.com=app:3000\n")))
    with pytest.raises(SystemExit) as ended:
        main(_adapted(command.words[1:], world, running.file))
    out, err = capsys.readouterr()
    # Without a name server nothing can be diagnosed but that; and that is said.
    expected = {0, 1} if command.words[1] == "diagnose" else {0}
    assert ended.value.code in expected, err
    assert out or err
