"""Every command in the documentation exists, with these options; what is not ours is excepted for a reason."""

import re
from collections.abc import Iterator
from contextlib import suppress

import click
import pytest

from proxy.cli.commands import cli
from tests.fakes.pages import ROOT, Command, commands, pages, snippets

# Programs of others. They are not run here, for the reason given.
FOREIGN = {
    "docker": "needs a Docker engine; tests/campaigns/image.py builds the image and runs it without one",
    "git": "fetches this repository",
    "curl": "asks the reader's own instance; the tests of that interface ask the same",
    "grep": "filters what a command before it prints",
    "jq": "filters what a command before it prints",
    "apt-get": "changes the system; tests/campaigns install on a fresh one",
    "pip": "installs the locked packages, as scripts/setup.sh and the Dockerfile do",
    "python3": "starts an app to try things with",
    "prometheus": "tests/integration/test_prometheus.py runs it on the same file",
    "wrk": "loads the reader's machine",
    "systemctl": "needs systemd; tests/integration/test_systemd.py plays its part",
    "journalctl": "needs systemd",
    **dict.fromkeys(("sudo", "chown", "cp", "install", "ln", "useradd", "setfacl"), "changes the system"),
    **dict.fromkeys(
        ("mkdir", "cat", "sed", "cd", "export", "dig", "ss", "openssl", "kill", "sleep", "ps"),
        "is in every system",
    ),
}
PROSE = re.compile(r"`(foregate [a-z][^`]*)`")


def _all() -> list[Command]:
    return [c for s in snippets() if s.language == "sh" and not s.excepted for c in commands(s)]


def _in_prose() -> Iterator[tuple[str, ...]]:
    for page in pages():
        for text in PROSE.findall(page.read_text(encoding="utf-8")):
            yield tuple(text.replace("`", "").split())


def parse(words: tuple[str, ...]) -> None:
    """Have click parse a command line of foregate without running it."""
    command: click.Command = cli
    context = click.Context(cli, info_name="foregate")
    arguments = list(words)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
        context = click.Context(found, info_name=name, parent=context)
    with suppress(click.exceptions.Exit):  # what --help and --version end in
        command.make_context(command.name, arguments, parent=context.parent)


@pytest.mark.parametrize("command", _all(), ids=str)
def test_a_command_exists(command: Command) -> None:
    if command.program == "foregate":
        parse(command.words[1:])
    elif command.words[0].startswith((".venv/bin/python", "python")) and command.words[1] == "-m":
        module = command.words[2].replace(".", "/")
        assert (
            command.words[2] in ("http.server", "venv")
            or (ROOT / f"{module}.py").exists()
            or (ROOT / module).is_dir()
        )
    elif command.words[0].startswith(("./", "scripts/", ".ci/", "bench/", "tests/")):
        assert (ROOT / command.words[0]).is_file()
    else:
        assert command.program in FOREIGN, (
            f"{command.program} needs a reason in this test, or an exception on the page"
        )


def test_commands_in_the_text_exist() -> None:
    for words in _in_prose():
        name = words[1]
        assert name in cli.commands, " ".join(words)
        # What stands for something else, in capitals or dots, is not parsed.
        if len(words) > 2 and not any(re.search(r"[A-Z]{2}|\.\.\.|\[|\|", word) for word in words[2:]):
            parse(words[1:])


def test_every_snippet_says_what_it_is() -> None:
    unnamed = [
        str(snippet)
        for snippet in snippets()
        if not snippet.language
        and re.search(r"(?m)^(foregate |\[\[site\]\]|\$ |docker |curl )", snippet.text)
    ]
    assert unnamed == []
