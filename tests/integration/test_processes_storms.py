"""Storms of signals, and a new instance right after a sudden end."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

from tests.fakes.foregate import PATIENCE, configuration
from tests.fakes.origin import Origin, OriginResponse
from tests.fakes.ports import free_port
from tests.integration.conftest import StartForegate
from tests.integration.test_processes import EVERY_REQUEST


def test_a_storm_of_signals_is_a_few_reloads(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1, tables=EVERY_REQUEST))
    gate.wait_serving(1)
    for number in range(200):
        gate.signal((signal.SIGHUP, signal.SIGUSR1)[number % 2])
    assert gate.get("/")[0] == 200
    gate.file.write_text(configuration(origin.url, workers=1, tables=EVERY_REQUEST.replace("0s", "1s")))
    gate.signal(signal.SIGHUP)
    assert gate.command("reload").returncode == 0
    reloads = gate.wait("configuration reloaded", 2)
    assert ['cache.ttl: "0s" -> "1s"'] in [line["changes"] for line in reloads]
    assert len(gate.events("configuration reloaded", trigger="SIGHUP")) < 100
    for _ in range(20):
        gate.signal(signal.SIGTERM)
        gate.signal(signal.SIGHUP)
    assert gate.wait_exit() == 0
    assert gate.unstructured == []


def test_after_a_sudden_end_a_new_instance_serves_at_once(
    start_foregate: StartForegate, origin: Origin
) -> None:
    port = free_port()
    text = configuration(origin.url, http=[f"127.0.0.1:{port}"], tables=EVERY_REQUEST)
    first = start_foregate(text)
    first.wait_serving(2)
    go_on = asyncio.Event()
    origin.answer = lambda _request: OriginResponse(content=b"last words", wait=go_on)
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(first.get, "/slow")
        origin.wait_for_requests(1)
        origin.answer = lambda _request: OriginResponse(content=b"new")
        first.process.kill()
        admin = f'admin = "unix:{first.storage}/admin.sock"'
        second = start_foregate(configuration(origin.url, server=admin, http=[f"127.0.0.1:{port}"]))
        second.wait_serving(1)
        assert second.get("/") == (200, b"new")
        origin.release(go_on)
        assert slow.result(PATIENCE) == (200, b"last words")
    first.wait_exit()
    assert second.terminate() == 0
