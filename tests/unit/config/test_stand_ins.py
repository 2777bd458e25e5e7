"""What an installation, such as the container image, says instead of keys that are not written."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.config.schema import Config, ListenAddress
from proxy.config.stand_ins import with_stand_ins

IMAGE = {"FOREGATE_METRICS": ":9145", "FOREGATE_STORAGE": "/var/lib/foregate"}


def test_they_stand_in_where_nothing_is_written(parsed: Callable[..., Config]) -> None:
    config = parsed("[server]\nworkers = 2\n", IMAGE)
    assert config.server.metrics == ListenAddress(host="", port=9145)
    assert config.server.workers == 2
    assert config.tls.storage == config.sites[0].tls.storage == "/var/lib/foregate"
    assert str(config.server.admin).count("/var/lib/foregate/admin.sock") == 1


def test_what_is_written_counts_more(parsed: Callable[..., Config]) -> None:
    config = parsed('[server]\nmetrics = ""\n[tls]\nstorage = "/srv/tls"\n', IMAGE)
    assert (config.server.metrics, config.tls.storage) == (None, "/srv/tls")


@pytest.mark.parametrize("environ", [{}, {"FOREGATE_METRICS": "", "FOREGATE_STORAGE": ""}])
def test_without_them_the_defaults_hold(parsed: Callable[..., Config], environ: dict[str, str]) -> None:
    assert parsed("", environ) == parsed("")


def test_a_fault_names_the_variable(fault_lines: Callable[..., list[str]]) -> None:
    (line,) = fault_lines("", {"FOREGATE_METRICS": "9145 please"})
    assert "server.metrics" in line
    assert 'found "9145 please" from "${FOREGATE_METRICS}"' in line


@pytest.mark.parametrize("document", [{"server": 3}, {"tls": []}])
def test_what_is_no_table_stays_for_others_to_find(document: dict[str, Any]) -> None:
    completed = with_stand_ins(document, IMAGE)
    assert {name: completed[name] for name in document} == document
