"""What is scarce or gone: descriptors, stdout, disk, DNS. It goes on serving, and says what is wrong."""

import resource
import socket
from contextlib import ExitStack

import pytest

from tests.fakes.foregate import PATIENCE, RUN, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate
from tests.integration.test_processes import EVERY_REQUEST

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def under(script: str) -> tuple[str, ...]:
    """Let a shell prepare what the process starts with."""
    return ("/bin/sh", "-c", f'{script} exec "$0" "$@"', *RUN)


@pytest.mark.parametrize("closing", ["exec >&-;", "exec >&- <&-;", "exec >/dev/full;"])
def test_without_a_stdout_requests_are_served(
    start_foregate: StartForegate, origin: Origin, closing: str
) -> None:
    gate = start_foregate(configuration(origin.url), command=under(closing))
    gate.wait_serving(2)
    assert [gate.get("/")[0] for _ in range(5)] == [200] * 5
    assert gate.terminate() == 0
    assert gate.unstructured == []


def test_a_full_disk_under_the_access_log_costs_lines_and_nothing_else(
    start_foregate: StartForegate, origin: Origin
) -> None:
    text = configuration(origin.url, workers=1).replace(
        'level = "debug"', 'level = "debug"\naccess = "/dev/full"'
    )
    gate = start_foregate(text)
    gate.wait_serving(1)
    assert [gate.get("/")[0] for _ in range(5)] == [200] * 5
    gate.wait_metric(5, "foregate_log_lines_dropped_total")


def test_when_descriptors_run_out_it_recovers(start_foregate: StartForegate, origin: Origin) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 600 or hard > 600
    gate = start_foregate(
        configuration(origin.url, workers=1, tables=EVERY_REQUEST), command=under("ulimit -n 128;")
    )
    gate.wait_serving(1)
    with ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(socket.create_connection(("127.0.0.1", gate.port), PATIENCE))
    assert gate.get("/")[0] == 200
    assert gate.metric("foregate_worker_exits_total", reason="crashed") == 0
    assert gate.terminate() == 0


def test_an_app_whose_name_does_not_resolve_is_503_and_no_obstacle(start_foregate: StartForegate) -> None:
    gate = start_foregate(configuration("http://nowhere.invalid:3000", workers=1))
    gate.wait_serving(1)
    assert gate.get("/")[0] == 503
    assert gate.command("health").returncode == 0
    (upstream,) = gate.admin("GET", "/api/v1/upstreams")[1]
    assert (upstream["name"], upstream["addresses"]) == ("nowhere.invalid", [])
    assert upstream["fault"]
