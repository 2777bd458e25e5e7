"""The commands about certificates: `certs`, `diagnose`, and what `check` says of certificate files."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import click

from proxy.admin.certificates_page import certificates_page, diagnosis_page
from proxy.admin.client import NotRunningError
from proxy.cli.instance import REFUSED, config_option, domain_of, expect_ok, file_of, instance_of, json_option
from proxy.config.schema import Config

_CERTIFICATE_PATIENCE: Final = 90.0  # seconds; an order takes a while


@click.group()
def certs() -> None:
    """Show certificates, order one anew, go back to one."""


@certs.command("list")
@config_option
@json_option
def certs_list(config: str | None, as_json: bool) -> None:
    """Show every certificate.

    State, dates, next renewal and why, last problem.
    """
    answer = instance_of(config).request("GET", "/api/v1/certificates")
    expect_ok(answer)
    click.echo(json.dumps(answer.body) if as_json else certificates_page(answer.body))


@certs.command()
@config_option
@json_option
@click.argument("name")
def renew(config: str | None, as_json: bool, name: str) -> None:
    """Order a new certificate for NAME now, and wait for it."""
    _change_certificate(config, name, "renew", as_json)


@certs.command()
@config_option
@json_option
@click.argument("name")
def restore(config: str | None, as_json: bool, name: str) -> None:
    """Go back to the certificate before the present one.

    Or keep that of a NAME that was removed from the configuration.
    """
    _change_certificate(config, name, "restore", as_json)


@click.command()
@config_option
@json_option
@click.argument("domain")
def diagnose(config: str | None, as_json: bool, domain: str) -> None:
    """Find out why DOMAIN gets no certificate.

    Works without a running instance, too.
    """
    name = domain_of(domain)
    found: Mapping[str, Any]
    try:
        answer = instance_of(config, _CERTIFICATE_PATIENCE).request("GET", _certificate(name, "diagnosis"))
        if answer.status == HTTPStatus.NOT_FOUND:
            found = _diagnosed_unconfigured(config, name)
        else:
            expect_ok(answer)
            found = answer.body
    except NotRunningError as exc:
        click.echo(f"foregate: {exc}; looking without it", err=True)
        found = _diagnosed_alone(config, name)
    click.echo(json.dumps(found) if as_json else diagnosis_page(found))
    if found["problems"]:
        sys.exit(REFUSED)


def files_can_be_served(config: Config) -> bool:
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
    name = domain_of(name)
    answer = instance_of(config, _CERTIFICATE_PATIENCE).request("POST", _certificate(name, verb))
    expect_ok(answer)
    if as_json:
        click.echo(json.dumps(answer.body))
    else:
        click.echo(
            f"{name}: {verb}{'' if verb.endswith('e') else 'e'}d, valid until {answer.body['not_after']}"
        )


def _certificate(name: str, verb: str) -> str:
    return f"/api/v1/certificates/{quote(name, safe='')}/{verb}"


def _diagnosed_alone(config: str | None, name: str) -> Mapping[str, Any]:
    # Imported here: without a running instance only.
    from proxy.config.loader import load
    from proxy.supervisor.certificate_diagnosis import diagnose_alone
    from proxy.supervisor.certificate_wishes import probing_of

    settings = load(file_of(config), os.environ).config
    return asyncio.run(diagnose_alone(settings, name, probing_of(os.environ)))


def _diagnosed_unconfigured(config: str | None, name: str) -> Mapping[str, Any]:
    # Imported here, and done here: an instance looks at the names that it is configured for, no others.
    from proxy.config.loader import load
    from proxy.supervisor.certificate_diagnosis import diagnose_unconfigured
    from proxy.supervisor.certificate_wishes import probing_of

    settings = load(file_of(config), os.environ).config
    return asyncio.run(diagnose_unconfigured(settings, name, probing_of(os.environ)))
