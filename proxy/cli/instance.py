"""What all commands share: options, the configuration file, and the way to the running instance."""

import os
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from proxy.admin.client import Answer, AnswerError, Instance
from proxy.admin.whereabouts import whereabouts
from proxy.config.errors import UnacceptableError
from proxy.config.names import parse_domain
from proxy.config.places import find_config

REFUSED: Final = 1  # exit status
PATIENCE: Final = 10.0  # seconds

config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    type=click.Path(),
    help="The configuration file; else $FOREGATE_CONFIG, ./proxy.toml, /etc/foregate/proxy.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print what the admin API answers.")


def file_of(config: str | None) -> Path:
    """Return the configuration file that a command is about. Raises ConfigError, or click's for a lost folder."""
    try:
        folder = Path.cwd()
    except FileNotFoundError as exc:
        raise click.ClickException("this folder has been removed; change to another one") from exc
    return find_config(config, os.environ, folder)


def instance_of(config: str | None, patience: float = PATIENCE) -> Instance:
    """Return where the instance that uses the file can be asked; `patience` is in seconds."""
    found = whereabouts(file_of(config), os.environ)
    return Instance(found.admin, found.token, patience)


def monitor_of(config: str | None) -> Instance:
    """Prefer the metrics listener, which anybody may use; the admin socket belongs to one user."""
    found = whereabouts(file_of(config), os.environ)
    if found.metrics is not None and found.metrics.port:
        return Instance(found.metrics, patience=PATIENCE)
    return Instance(found.admin, found.token, PATIENCE)


def expect_ok(answer: Answer) -> None:
    """Raise AnswerError unless an instance did what it was asked."""
    if answer.status != HTTPStatus.OK:
        raise AnswerError(answer.detail)


def domain_of(typed: str) -> str:
    """Return a domain as the configuration has it, whichever way it is typed."""
    try:
        return parse_domain(typed)
    except UnacceptableError as exc:
        raise click.UsageError(f'"{typed}" is not a domain: {exc.advice}') from exc


def lines_of(answer: Answer, key: str) -> list[str]:
    """Return the texts in a list of an answer."""
    lines = answer.body.get(key, [])
    return list(map(str, lines)) if isinstance(lines, list) else []
