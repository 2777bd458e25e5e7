"""The Dockerfile, as far as it can be read; tests/campaigns/image.py builds it and runs what comes out."""

import json
import re
import shlex
from pathlib import Path

from proxy import __version__
from proxy.cli.commands import cli
from proxy.config.loader import parse
from proxy.config.schema import ListenAddress

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = [
    line
    for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    if line and not line.startswith("#")
]
FINAL = INSTRUCTIONS[max(number for number, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")) :]


def last(instruction: str) -> str:
    """Return what the last instruction of a kind in the final stage says."""
    return next(line for line in reversed(FINAL) if line.startswith(f"{instruction} ")).partition(" ")[2]


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(last("ENV")))


def test_its_commands_are_commands() -> None:
    words = [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]
    assert words == ["foregate", "run"]
    program, health = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert (program, health) == ("foregate", "health")
    assert {words[1], health} <= set(cli.commands)


def test_its_labels_name_this_version() -> None:
    assert f"ARG VERSION={__version__}" in FINAL


def test_it_runs_as_a_user_by_number_and_ends_with_a_drain() -> None:
    assert last("USER") == "10001:10001"
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_environment_puts_storage_into_the_volume_and_metrics_where_prometheus_is() -> None:
    config = parse(
        b'[[site]]\ndomains = ["app.example.com"]\nupstream = "http://app:3000"\n',
        path="/etc/foregate/proxy.toml",
        environ=environment(),
    )
    assert config.tls.storage == last("VOLUME")
    assert isinstance(config.server.metrics, ListenAddress)
    assert config.server.metrics.host == ""
    ports = {address.port for address in (*config.server.http, *config.server.https, config.server.metrics)}
    assert ports == {int(port) for port in last("EXPOSE").split()}


def test_what_it_copies_is_there_and_let_through() -> None:
    copied = [
        name
        for line in INSTRUCTIONS
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    ]
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(let_through)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_packages_come_with_their_hashes() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&]+)", "\n".join(INSTRUCTIONS))
    assert len(installs) == 3
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-index" in arguments
