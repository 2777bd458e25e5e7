"""The command line: `foregate run`, and what an operator asks a running instance.

Exit status: 0 done, 1 refused (bad configuration, not found, unhealthy), 2 usage, 3 no instance running.
"""

import asyncio
import json
import os
import platform
import ssl
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode

import click

from proxy import __version__
from proxy.admin.certificates_page import certificates_page, diagnosis_page
from proxy.admin.client import Answer, AnswerError, Instance, NotRunningError
from proxy.admin.status_page import status_page
from proxy.admin.whereabouts import whereabouts
from proxy.config.errors import ConfigError, UnacceptableError
from proxy.config.loader import find_config, load
from proxy.config.names import parse_domain
from proxy.config.report import report
from proxy.config.schema import Config
from proxy.errors import ForegateError

_DONE: Final = 0
_REFUSED: Final = 1
_NOT_RUNNING: Final = 3
_INTERRUPTED: Final = 130
_PATIENCE: Final = 10.0  # seconds
_RELOAD_PATIENCE: Final = 60.0  # seconds
_CERTIFICATE_PATIENCE: Final = 90.0  # seconds; an order takes a while
_WATCH_INTERVAL: Final = 2.0  # seconds


class _Commands(click.Group):
    """A group of commands that guesses what a misspelt one was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"; did you mean `foregate {near[0]}`?" if near else "; `foregate --help` lists all"
            ctx.fail(f'there is no command "{name}"{hint}')
        return super().resolve_command(ctx, args)


_config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="The configuration file; else $FOREGATE_CONFIG, ./proxy.toml, /etc/foregate/proxy.toml.",
)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print what the admin API answers.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    __version__,
    prog_name="foregate",
    message=f"%(prog)s %(version)s (Python {platform.python_version()}, {ssl.OPENSSL_VERSION})",
)
def cli() -> None:
    """A reverse proxy with certificates, a rate limiter and a short cache."""


@cli.command()
@_config_option
def run(config: str | None) -> None:
    """Run Foregate in the foreground until SIGTERM."""
    # Imported here: the other commands should not wait for all that a supervisor needs.
    from proxy.supervisor.source import ConfigFile
    from proxy.supervisor.supervisor import run as supervise

    supervise(ConfigFile(_file(config), os.environ))


@cli.command()
@_config_option
def check(config: str | None) -> None:
    """Validate the configuration file and show every fault."""
    try:
        loaded = load(_file(config), os.environ)
    except ConfigError as exc:
        click.echo(report(exc), err=True)
        sys.exit(_REFUSED)
    if not _files_can_be_served(loaded.config):
        sys.exit(_REFUSED)
    click.echo(report(loaded))


@cli.command()
@_config_option
def reload(config: str | None) -> None:
    """Read the configuration anew and show what changed."""
    try:
        answer = _instance(config, _RELOAD_PATIENCE).request("POST", "/api/v1/reload")
    except NotRunningError:
        load(
            _file(config), os.environ
        )  # a faulty file may have lost the address, and would be refused anyway
        raise
    for fault in _lines(answer, "faults"):
        click.echo(fault, err=True)
    _expect_ok(answer)
    click.echo("\n".join(_lines(answer, "changes")) or "nothing has changed")


@cli.command()
@_config_option
@_json_option
@click.option("--watch", is_flag=True, help="Repeat every 2 seconds until Ctrl-C.")
def status(config: str | None, as_json: bool, watch: bool) -> None:
    """Show workers, listeners, traffic and the last reload."""
    instance = _instance(config)
    while True:
        answer = instance.request("GET", "/api/v1/status")
        _expect_ok(answer)
        body = answer.body
        text = json.dumps(body) if as_json else status_page(body)
        if watch and not as_json:
            click.clear()
        click.echo(text)
        if not watch:
            return
        time.sleep(_WATCH_INTERVAL)


@cli.command()
@_config_option
def health(config: str | None) -> None:
    """Exit 0 while the running instance serves."""
    _expect_ok(_monitor(config).request("GET", "/readyz"))
    click.echo("ready")


@cli.command()
@_config_option
@click.option("--site", default="", metavar="S", help="One site alone, by any of its domains.")
@click.option("--path", "prefix", default="", metavar="PREFIX", help="Only paths that begin so.")
def purge(config: str | None, site: str, prefix: str) -> None:
    """Make void what the cache keeps, in all workers at once."""
    if prefix and not prefix.startswith("/"):
        raise click.UsageError(f'a path begins with "/", not "{prefix}"')
    query = urlencode({name: value for name, value in (("site", site), ("path", prefix)) if value})
    _expect_ok(_instance(config).request("POST", f"/api/v1/purge?{query}"))
    click.echo(
        f"purged: {site or 'all sites'}, {f'paths that begin with {prefix}' if prefix else 'all paths'}"
    )


@cli.group()
def certs() -> None:
    """Show certificates, order one anew, go back to one."""


@certs.command("list")
@_config_option
@_json_option
def certs_list(config: str | None, as_json: bool) -> None:
    """Show every certificate: state, dates, next renewal and why, last problem."""
    answer = _instance(config).request("GET", "/api/v1/certificates")
    _expect_ok(answer)
    click.echo(json.dumps(answer.body) if as_json else certificates_page(answer.body))


@certs.command()
@_config_option
@_json_option
@click.argument("name")
def renew(config: str | None, as_json: bool, name: str) -> None:
    """Order a new certificate for NAME now, and wait for it."""
    _change_certificate(config, name, "renew", as_json)


@certs.command()
@_config_option
@_json_option
@click.argument("name")
def restore(config: str | None, as_json: bool, name: str) -> None:
    """Go back to the certificate of NAME before the present one, or keep that of a removed NAME."""
    _change_certificate(config, name, "restore", as_json)


@cli.command()
@_config_option
@_json_option
@click.argument("domain")
def diagnose(config: str | None, as_json: bool, domain: str) -> None:
    """Find out why DOMAIN gets no certificate; works without a running instance, too."""
    name = _domain(domain)
    try:
        answer = _instance(config, _CERTIFICATE_PATIENCE).request("GET", _certificate(name, "diagnosis"))
        _expect_ok(answer)
        found = answer.body
    except NotRunningError as exc:
        click.echo(f"foregate: {exc}; looking without it", err=True)
        found = _diagnosed_alone(config, name)
    click.echo(json.dumps(found) if as_json else diagnosis_page(found))
    if found["problems"]:
        sys.exit(_REFUSED)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from proxy.config.json_schema import schema as json_schema

    click.echo(json.dumps(json_schema(), indent=2))


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
        sys.exit(_REFUSED)
    except ForegateError as exc:
        click.echo(f"foregate: {exc}", err=True)
        sys.exit(_NOT_RUNNING if isinstance(exc, NotRunningError) else _REFUSED)
    sys.exit(_DONE)


def _file(config: str | None) -> Path:
    return find_config(config, os.environ, Path.cwd())


def _instance(config: str | None, patience: float = _PATIENCE) -> Instance:
    found = whereabouts(_file(config), os.environ)
    return Instance(found.admin, found.token, patience)


def _monitor(config: str | None) -> Instance:
    """Prefer the metrics listener, which anybody may use; the admin socket belongs to one user."""
    found = whereabouts(_file(config), os.environ)
    if found.metrics is not None and found.metrics.port:
        return Instance(found.metrics, patience=_PATIENCE)
    return Instance(found.admin, found.token, _PATIENCE)


def _files_can_be_served(config: Config) -> bool:
    """Show what is wrong with certificate files; tell whether they can be served all the same."""
    if all(site.tls.mode != "files" for site in config.sites):
        return True
    # Imported here: most configurations name no such files, and the library behind takes its time.
    from proxy.supervisor.certificate_files import check_pairs

    faults, warnings = check_pairs(config, time.time())
    for problem in (*faults, *warnings):
        click.echo(str(problem), err=True)
    return not faults


def _change_certificate(config: str | None, name: str, verb: str, as_json: bool) -> None:
    name = _domain(name)
    answer = _instance(config, _CERTIFICATE_PATIENCE).request("POST", _certificate(name, verb))
    _expect_ok(answer)
    if as_json:
        click.echo(json.dumps(answer.body))
    else:
        click.echo(
            f"{name}: {verb}{'' if verb.endswith('e') else 'e'}d, valid until {answer.body['not_after']}"
        )


def _certificate(name: str, verb: str) -> str:
    return f"/api/v1/certificates/{quote(name, safe='')}/{verb}"


def _domain(name: str) -> str:
    """Return a domain as the configuration has it, whichever way it is typed."""
    try:
        return parse_domain(name)
    except UnacceptableError as exc:
        raise click.UsageError(f'"{name}" is not a domain: {exc}') from exc


def _diagnosed_alone(config: str | None, name: str) -> dict[str, Any]:
    # Imported here: without a running instance only.
    from proxy.supervisor.certificate_diagnosis import diagnose_alone
    from proxy.supervisor.certificate_wishes import probing_of

    settings = load(_file(config), os.environ).config
    found = asyncio.run(diagnose_alone(settings, name, probing_of(os.environ)))
    if found is None:
        raise AnswerError(f"{name} is not in the configuration")
    return dict(found)


def _expect_ok(answer: Answer) -> None:
    if answer.status != HTTPStatus.OK:
        raise AnswerError(answer.detail)


def _lines(answer: Answer, key: str) -> list[str]:
    lines = answer.body.get(key, [])
    return list(map(str, lines)) if isinstance(lines, list) else []
