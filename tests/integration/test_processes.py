"""The process tree: it serves, outlives its workers, drains, and says clearly why it cannot run."""

import asyncio
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.foregate import PATIENCE, ROOT, RUN, Foregate, configuration
from tests.fakes.origin import Origin, OriginResponse
from tests.integration.conftest import StartForegate

NOWHERE = "http://127.0.0.1:9"
COUNTED = "foregate_request_duration_seconds_count"
EVERY_REQUEST = """
[rate_limit]
rate = "off"
[cache]
ttl = "0s"
"""  # reaches the origin


def stop_process(pid: int) -> None:
    """Stop a process and wait until it really stands still."""
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        os.sched_yield()


def fetch(port: int) -> int:
    """Send one request on a new connection; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def fetch_many(port: int, count: int) -> list[int]:
    """Send requests on many connections at the same time."""
    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(fetch, [port] * count))


def test_it_forwards_through_two_workers_and_answers_its_operator(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url))
    gate.wait_serving(2)
    assert gate.get("/some/where") == (200, b"hello from the origin")
    assert origin.requests[0].target == "/some/where"
    assert gate.get("/healthz", "metrics") == (200, b"ok\n")
    assert gate.get("/readyz", "metrics") == (200, b"ready\n")
    gate.wait_metric(1, "foregate_requests_total", site="*", code="200", cache="MISS")
    assert gate.command("health").stdout == "ready\n"
    page = gate.command("status").stdout
    assert "serving" in page
    assert str(gate.worker_pids()[1]) in page


def test_workers_that_stop_or_die_cost_no_new_connection(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url, tables=EVERY_REQUEST))
    gate.wait_serving(2)
    port = gate.port
    first, second = gate.worker_pids()
    assert fetch_many(port, 40) == [200] * 40
    gate.wait_metric(40, COUNTED, site="*")

    stop_process(first)
    assert fetch_many(port, 40) == [200] * 40  # the other one accepts
    with suppress(ProcessLookupError):  # where all that took long, its silence has been noticed
        os.kill(first, signal.SIGKILL)
    assert fetch_many(port, 40) == [200] * 40
    gate.wait("worker ended", 1, ended="killed by SIGKILL")
    gate.wait_metric(120, COUNTED, site="*")
    gate.wait_serving(3)

    os.kill(second, signal.SIGKILL)
    assert fetch_many(port, 40) == [200] * 40  # the replacement is there
    gate.wait_serving(4)
    gate.wait_metric(160, COUNTED, site="*")
    assert not {first, second} & set(gate.worker_pids())
    reasons = ("crashed", "unresponsive")
    assert sum(gate.metric("foregate_worker_exits_total", reason=reason) for reason in reasons) == 2
    gate.wait_metric(0, "foregate_connections_active", scheme="http")


async def test_a_worker_killed_under_load_loses_at_most_the_connections_it_had(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url, tables=EVERY_REQUEST))
    await asyncio.to_thread(gate.wait_serving, 2)
    port, victims = gate.port, await asyncio.to_thread(gate.worker_pids)
    begun_after: list[bool] = []
    killed = finished = False

    async def client() -> None:
        while not finished:
            begun_after.append(killed)
            place = len(begun_after) - 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
                async with asyncio.timeout(PATIENCE):
                    answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 200 ") or not begun_after[place]
            except ConnectionResetError:
                assert not begun_after[place], "a connection that began after the kill was lost"
            finally:
                writer.close()

    async with asyncio.TaskGroup() as clients:
        for _ in range(16):
            clients.create_task(client())
        await asyncio.to_thread(origin.wait_for_requests, 50)
        os.kill(victims[0], signal.SIGKILL)
        await asyncio.to_thread(gate.wait, "worker ended")  # until then it may still accept
        killed = True
        await asyncio.to_thread(gate.wait_serving, 3)
        await asyncio.to_thread(origin.wait_for_requests, len(origin.requests) + 50)
        finished = True
    assert sum(begun_after) > 50


def test_sigterm_lets_requests_finish_and_exits_with_0(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    go_on = asyncio.Event()
    origin.answer = lambda _request: OriginResponse(content=b"late", wait=go_on)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(gate.get, "/slow")
        origin.wait_for_requests(1)
        gate.signal(signal.SIGTERM)
        gate.wait("draining")
        assert gate.get("/readyz", "metrics")[0] == 503
        with pytest.raises(ConnectionRefusedError):
            refused_while_draining(gate)
        origin.release(go_on)
        assert answer.result(PATIENCE) == (200, b"late")
    assert gate.wait_exit() == 0
    assert gate.unstructured == []
    assert not (gate.storage / "admin.sock").exists()


def refused_while_draining(gate: Foregate) -> None:
    """Connect until the listening socket is closed everywhere; the worker closes its share when told."""
    while True:
        with (
            suppress(ConnectionResetError),
            socket.create_connection(("127.0.0.1", gate.port), PATIENCE) as late,
        ):
            late.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            late.recv(1)


def test_a_second_sigterm_does_not_wait(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, server='drain_timeout = "1h"', workers=1))
    gate.wait_serving(1)
    never = asyncio.Event()
    origin.answer = lambda _request: OriginResponse(wait=never)
    with socket.create_connection(("127.0.0.1", gate.port), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        origin.wait_for_requests(1)
        gate.signal(signal.SIGTERM)
        gate.wait("draining")
        gate.signal(signal.SIGTERM)
        assert gate.wait_exit() == 0


def test_a_second_instance_fails_at_once_with_one_clear_line(start_foregate: StartForegate) -> None:
    first = start_foregate(configuration(NOWHERE, workers=1))
    first.wait_listening()
    taken = first.port
    second = start_foregate(configuration(NOWHERE, workers=1, http=[f"127.0.0.1:{taken}"]))
    assert second.wait_exit() == 1
    assert second.unstructured == [
        f"foregate: cannot listen on 127.0.0.1:{taken} ([server] http): the port is taken, perhaps by another "
        f"instance; `ss -ltnp 'sport = :{taken}'` shows by whom"
    ]


def test_a_second_instance_on_the_same_storage_fails(start_foregate: StartForegate) -> None:
    first = start_foregate(configuration(NOWHERE, workers=1))
    first.wait_listening()
    admin = f'admin = "unix:{first.storage}/admin.sock"'
    second = start_foregate(configuration(NOWHERE, workers=1, server=admin))
    assert second.wait_exit() == 1
    (line,) = second.unstructured
    assert "another instance answers there" in line


def test_a_socket_left_by_a_killed_instance_is_replaced(start_foregate: StartForegate) -> None:
    first = start_foregate(configuration(NOWHERE, workers=1))
    first.wait_serving(1)
    first.process.kill()
    first.wait_exit()
    assert (first.storage / "admin.sock").exists()
    admin = f'admin = "unix:{first.storage}/admin.sock"'
    second = start_foregate(configuration(NOWHERE, workers=1, server=admin))
    second.wait_serving(1)
    assert second.terminate() == 0


def test_a_missing_file_is_one_clear_line_and_status_1(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.toml"
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "run", "-c", str(missing)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(missing) in ended.stderr


def test_sigterm_before_there_is_anything_to_drain_ends_it(tmp_path: Path) -> None:
    """The file is a pipe, so that the start stands still while it is read."""
    file = tmp_path / "proxy.toml"
    os.mkfifo(file)
    with (
        subprocess.Popen([*RUN, "-c", str(file)], cwd=ROOT) as starting,
        open(file, "wb"),  # waits for the reader
    ):
        starting.send_signal(signal.SIGHUP)
        starting.send_signal(signal.SIGTERM)
        assert starting.wait(PATIENCE) == 0


def test_a_bad_file_shows_every_fault_and_status_1(start_foregate: StartForegate) -> None:
    gate = start_foregate(configuration(NOWHERE, server='drain_timeout = "soon"', site='balence = "x"'))
    assert gate.wait_exit() == 1
    assert len(gate.unstructured) == 2
    assert any("drain_timeout" in line for line in gate.unstructured)
    assert any("balence" in line for line in gate.unstructured)


def test_workers_that_crash_at_once_every_time_end_it_with_status_1(start_foregate: StartForegate) -> None:
    gate = start_foregate(
        configuration(NOWHERE),
        command=[sys.executable, "-m", "tests.fakes.run_with_worker", "/bin/false"],
    )
    assert gate.wait_exit() == 1
    assert gate.unstructured[-1] == (
        "foregate: workers end before they are ready, every time (exit status 1); the log lines above say why"
    )


def test_workers_finish_and_end_when_the_supervisor_is_killed(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url))
    gate.wait_serving(2)
    watched = [os.pidfd_open(pid) for pid in gate.worker_pids()]
    go_on = asyncio.Event()
    origin.answer = lambda _request: OriginResponse(content=b"last words", wait=go_on)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(gate.get, "/slow")
        origin.wait_for_requests(1)
        gate.process.kill()
        gate.wait("the supervisor is gone: draining", 2)
        origin.release(go_on)
        assert answer.result(PATIENCE) == (200, b"last words")
    for descriptor in watched:
        wait_gone(descriptor)
    gate.wait_exit()


def wait_gone(pidfd: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    ready, _, _ = select.select([pidfd], [], [], PATIENCE)
    os.close(pidfd)
    assert ready


def test_a_worker_told_to_stop_is_replaced_and_loses_nothing(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    (pid,) = gate.worker_pids()
    os.kill(pid, signal.SIGTERM)
    gate.wait_serving(2)
    gate.wait("worker has drained", pid=pid, ended="exit status 0")
    assert fetch(gate.port) == 200


def test_sigusr1_reopens_the_access_log_after_a_rotation(
    start_foregate: StartForegate, origin: Origin
) -> None:
    text = configuration(origin.url).replace('level = "debug"', 'level = "debug"\naccess = "access.log"')
    gate = start_foregate(text)
    gate.wait_serving(2)
    log = gate.file.with_name("access.log")
    assert gate.get("/before")[0] == 200
    rotated = log.rename(log.with_suffix(".1"))
    gate.signal(signal.SIGUSR1)
    gate.wait("logs reopened", 2)
    assert gate.get("/after")[0] == 200
    assert gate.terminate() == 0
    assert [b"/before" in rotated.read_bytes(), b"/after" in log.read_bytes()] == [True, True]


def test_the_admin_api_shows_sites_and_a_configuration_without_secrets(
    start_foregate: StartForegate, origin: Origin
) -> None:
    headers = 'set_request_headers = { Authorization = "Bearer secret-of-the-app" }'
    gate = start_foregate(
        configuration(origin.url, server='admin_token = "secret-token-of-the-admin"', site=headers)
    )
    gate.wait_serving(2)
    assert gate.get("/")[0] == 200
    gate.wait_metric(1, COUNTED, site="*")
    status, sites = gate.admin("GET", "/api/v1/sites")
    assert (status, sites[0]["name"], sites[0]["requests"]) == (200, "*", 1)
    status, configured = gate.admin("GET", "/api/v1/config")
    assert (status, configured["server"]["workers"]) == (200, 2)
    assert "secret-token" not in str(configured)
    assert "secret-of-the-app" not in str(configured)
    assert configured["site"][0]["set_request_headers"] == {"Authorization": "********"}
    status, page = gate.admin("GET", "/api/v1/status")
    assert (status, page["traffic"]["requests"]) == (200, 1)
