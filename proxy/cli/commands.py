"""The command line: `foregate run`, and what an operator asks a running instance.

Exit status: 0 done, 1 refused (bad configuration, not found, unhealthy), 2 usage, 3 no instance running.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from http import HTTPStatus
from typing import Final, NoReturn
from urllib.parse import urlencode

import click

from proxy.admin.client import AnswerError, Instance, NotRunningError
from proxy.admin.status_page import build_line, status_page
from proxy.cli.certificates import certs, diagnose, files_can_be_served
from proxy.cli.demo import demo
from proxy.cli.import_command import import_
from proxy.cli.instance import (
    REFUSED,
    config_option,
    domain_of,
    expect_ok,
    file_of,
    instance_of,
    json_option,
    lines_of,
    monitor_of,
)
from proxy.config.errors import ConfigError, UnacceptableError
from proxy.config.http_values import parse_purge_path
from proxy.errors import ForegateError

_DONE: Final = 0
_NOT_RUNNING: Final = 3
_NOT_RUNNING_HINT: Final = (
    "`foregate run` starts one, and -c FILE asks the one that uses FILE; "
    "if tls.storage or server.admin was just changed there, put the former value back to ask it"
)
_INTERRUPTED: Final = 130
_NOT_PRINTED: Final = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
)  # where standard output leads to a file
_RELOAD_PATIENCE: Final = 60.0  # seconds
_UPGRADE_PATIENCE: Final = 90.0  # seconds, of which the trial start may take 60
_UPGRADE_LOOK: Final = 0.2  # seconds
_WATCH_INTERVAL: Final = 2.0  # seconds


# What comes to mind from nginx, Caddy and others.
_OTHER_NAMES: Final = {
    "help": "--help",
    "version": "--version",
    "start": "run",
    "serve": "run",
    "up": "run",
    "test": "check",
    "configtest": "check",
    "validate": "check",
    "restart": "upgrade",
    "try": "demo",
    "ping": "health",
}
_NEXT_STEPS: Final = """\b
New here?      foregate demo         shows it at work, without configuration
From nginx:    foregate import       makes a file of another proxy's files
A first file:  proxy.toml            [[site]]
                                     domains  = ["app.example.com"]
                                     upstream = "http://127.0.0.1:3000"
Then:          foregate check        says everything that is wrong with it
               foregate run          serves it; SIGTERM or Ctrl-C ends it"""


class _Commands(click.Group):
    """A group of commands that guesses what a misspelt one was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            ctx.fail(f'there is no command "{name}"; {self._hint(name, ctx)}')
        return super().resolve_command(ctx, args)

    def _hint(self, name: str, ctx: click.Context) -> str:
        if name in ("stop", "quit", "down"):
            return "a running instance ends with SIGTERM (Ctrl-C, docker stop, systemctl stop)"
        near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else []
        near += get_close_matches(name, self.list_commands(ctx), n=1)
        return f"did you mean `foregate {near[0]}`?" if near else "`foregate --help` lists all"


def _show_version(ctx: click.Context, _option: click.Parameter, is_wanted: bool) -> None:
    """Print the version on a line of its own, and below what it runs on."""
    if not is_wanted or ctx.resilient_parsing:
        return
    # Imported here: no other command should wait for it.
    from proxy.telemetry.build import this_build

    build = this_build()
    click.echo(
        f"foregate {build.version}\n{build_line(build.form, build.python, build.openssl, build.uvloop)}"
    )
    click.echo(build.platform)
    ctx.exit()


@click.group(cls=_Commands, epilog=_NEXT_STEPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, what a report of a fault should tell, and exit.",
)
def cli() -> None:
    """A reverse proxy with certificates, a rate limiter and a short cache."""


@cli.command()
@config_option
def run(config: str | None) -> None:
    """Run Foregate in the foreground until SIGTERM."""
    # Imported here: the other commands should not wait for all that a supervisor needs.
    from proxy.supervisor.run import run as supervise
    from proxy.supervisor.source import ConfigFile

    supervise(ConfigFile(file_of(config), os.environ))


@cli.command()
@config_option
def check(config: str | None) -> None:
    """Validate the configuration file and show every fault."""
    # Imported here, as below: what only asks an instance, such as a health check, should not wait for the parser.
    from proxy.config.loader import load
    from proxy.config.report import report

    try:
        loaded = load(file_of(config), os.environ)
    except ConfigError as exc:
        click.echo(report(exc), err=True)
        sys.exit(REFUSED)
    if not files_can_be_served(loaded.config):
        sys.exit(REFUSED)
    click.echo(report(loaded))


@cli.command()
@config_option
def reload(config: str | None) -> None:
    """Read the configuration anew and show what changed."""
    try:
        answer = instance_of(config, _RELOAD_PATIENCE).request("POST", "/api/v1/reload")
    except NotRunningError:
        from proxy.config.loader import load

        # A faulty file may have lost the address, and would be refused anyway.
        load(file_of(config), os.environ)
        raise
    for fault in lines_of(answer, "faults"):
        click.echo(fault, err=True)
    expect_ok(answer)
    click.echo("\n".join(lines_of(answer, "changes")) or "nothing has changed")


@cli.command()
@config_option
def upgrade(config: str | None) -> None:
    """Replace the running program by the one installed now.

    No request is lost; if the trial start of the new program fails, nothing changes.
    """
    instance = instance_of(config, _UPGRADE_PATIENCE)
    before = instance.request("GET", "/api/v1/status")
    expect_ok(before)
    answer = instance.request("POST", "/api/v1/upgrade")
    if answer.status != HTTPStatus.ACCEPTED:
        raise AnswerError(answer.detail)
    now = _upgraded(instance, answer.body["upgrades"])
    click.echo(f"{before.body['version']} -> {now['version']}, process {now['pid']}")


def _upgraded(instance: Instance, before: object) -> dict[str, object]:
    """Wait until the new program serves with its own workers."""
    deadline = time.monotonic() + _UPGRADE_PATIENCE
    while time.monotonic() < deadline:
        # The former program answers nobody any more as it makes way; who has connected just then is cut off.
        with suppress(AnswerError):
            status = instance.request("GET", "/api/v1/status").body
            if status["upgrades"] != before and not status["upgrading"]:
                return status
        time.sleep(_UPGRADE_LOOK)
    raise AnswerError(f"the new program did not serve within {_UPGRADE_PATIENCE:.0f} seconds; see its log")


@cli.command()
@config_option
@json_option
@click.option("--watch", is_flag=True, help="Repeat every 2 seconds until Ctrl-C.")
def status(config: str | None, as_json: bool, watch: bool) -> None:
    """Show how the running instance does.

    Traffic, listeners, workers, upstreams, certificates, limited clients and the last reload.
    """
    instance = instance_of(config)
    while True:
        answer = instance.request("GET", "/api/v1/status")
        expect_ok(answer)
        body = answer.body
        text = json.dumps(body) if as_json else status_page(body)
        if watch and not as_json:
            click.clear()
        click.echo(text)
        if not watch:
            return
        time.sleep(_WATCH_INTERVAL)


@cli.command()
@config_option
def health(config: str | None) -> None:
    """Exit 0 while the running instance serves."""
    try:
        answer = monitor_of(config).request("GET", "/readyz")
    except NotRunningError:
        # The file may name another metrics listener than the instance has, whose reload was refused.
        answer = instance_of(config).request("GET", "/readyz")
    expect_ok(answer)
    click.echo("ready")


@cli.command()
@config_option
@click.option("--site", default="", metavar="S", help="One site alone, by any of its domains.")
@click.option("--path", "prefix", default="", metavar="PREFIX", help="Only paths that begin so.")
def purge(config: str | None, site: str, prefix: str) -> None:
    """Make void what the cache keeps, in all workers at once."""
    try:
        prefix = parse_purge_path(prefix) if prefix else ""
    except UnacceptableError as exc:
        raise click.UsageError(f'--path is "{prefix}", {exc.advice}') from exc
    named = (("site", site and domain_of(site)), ("path", prefix))
    query = urlencode({name: value for name, value in named if value})
    expect_ok(instance_of(config).request("POST", f"/api/v1/purge?{query}"))
    click.echo(
        f"purged: {site or 'all sites'}, {f'paths that begin with {prefix}' if prefix else 'all paths'}"
    )


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from proxy.config.json_schema import schema as json_schema

    click.echo(json.dumps(json_schema(), indent=2))


cli.add_command(certs)
cli.add_command(demo)
cli.add_command(diagnose)
cli.add_command(import_)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    try:
        cli.main(args=arguments, prog_name="foregate", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    except ConfigError as exc:
        click.echo(str(exc), err=True)
        sys.exit(REFUSED)
    except OSError as exc:
        if exc.errno not in _NOT_PRINTED:
            raise
        click.echo(f"foregate: cannot print all of it: {exc.strerror}", err=True)
        sys.exit(REFUSED)
    except ForegateError as exc:
        hint = f"; {_NOT_RUNNING_HINT}" if isinstance(exc, NotRunningError) else ""
        click.echo(f"foregate: {exc}{hint}", err=True)
        sys.exit(_NOT_RUNNING if hint else REFUSED)
    sys.exit(_DONE)
