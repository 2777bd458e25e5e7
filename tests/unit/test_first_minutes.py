"""The page of the first minutes, as far as it can be checked without a fresh machine.

tests/campaigns/first_minutes.py types all of it.
"""

import re
import shlex

import pytest

from proxy.cli.commands import cli
from proxy.config.loader import parse
from tests.campaigns.first_minutes import PAGE, SHOWN, STAYING, blocks
from tests.fakes.foregate import ROOT

COMMANDS = "\n".join(block.commands for block in blocks())


def test_every_block_of_commands_names_its_terminal() -> None:
    assert len(blocks()) == PAGE.read_text().count("```sh\n")


@pytest.mark.parametrize("part", [*STAYING, *SHOWN])
def test_what_the_campaign_waits_for_belongs_to_one_block(part: str) -> None:
    assert len([block for block in blocks() if part in block.commands]) == 1


def test_its_commands_are_commands() -> None:
    named = re.findall(r"^\.venv/bin/foregate (\w+)", COMMANDS, re.MULTILINE)
    assert set(named) == {"check", "run", "reload", "status", "certs"}
    assert set(named) <= set(cli.commands)
    (arguments,) = re.findall(r"^\./try (.*)$", COMMANDS, re.MULTILINE)
    cli.commands["demo"].make_context("demo", shlex.split(arguments))


def test_its_files_are_there() -> None:
    (configuration,) = re.findall(r"--config\.file=(\S+)", COMMANDS)
    assert (ROOT / configuration).is_file()


def test_its_configuration_is_one() -> None:
    (content,) = re.findall(r"<<'END'\n(.*?)^END$", COMMANDS, re.DOTALL | re.MULTILINE)
    (site,) = parse(content.encode(), path="proxy.toml", environ={}).sites
    assert site.domains == ("localhost",)
