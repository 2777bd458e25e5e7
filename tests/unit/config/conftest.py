"""Configurations for the tests of proxy.config, from the few lines that a test is about."""

from collections.abc import Callable, Mapping

import pytest

from proxy.config.errors import ConfigError, Fault
from proxy.config.loader import parse
from proxy.config.schema import Config

SITE = '\n[[site]]\ndomains = ["app.example.com"]\nupstream = "http://app:3000"\n'

Parse = Callable[..., Config]
Faults = Callable[..., list[Fault]]


def _parse(text: str, environ: Mapping[str, str] | None = None, *, site: bool = True) -> Config:
    source = text + SITE if site else text
    return parse(source.encode(), path="proxy.toml", environ=environ or {})


def _faults(text: str, environ: Mapping[str, str] | None = None, *, site: bool = True) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        _parse(text, environ, site=site)
    return list(caught.value.faults)


@pytest.fixture
def parsed() -> Parse:
    """Parse lines, with a site added unless site=False."""
    return _parse


@pytest.fixture
def faults() -> Faults:
    """Return the faults of lines, with a site added unless site=False."""
    return _faults


@pytest.fixture
def fault_lines() -> Callable[..., list[str]]:
    """Return the faults of lines as an operator reads them, without the name of the file."""
    return lambda text, environ=None, site=True: [
        str(fault).removeprefix("proxy.toml:") for fault in _faults(text, environ, site=site)
    ]
