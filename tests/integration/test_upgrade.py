"""An upgrade: another program in the same process, without a lost request, or none at all."""

import asyncio
import socket
from pathlib import Path

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.load import Load
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate
from tests.integration.test_processes import EVERY_REQUEST

LIMITED = '[rate_limit]\nrate = "3/h"\nburst = 3\n[cache]\nttl = "0s"'


def counters(gate: Foregate) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Scrape, and leave gauges out."""
    return {
        key: value
        for key, value in gate.metrics().items()
        if key[0].endswith(("_total", "_bucket", "_count"))
    }


async def test_upgrades_under_load_lose_no_request_and_no_count(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url, tables=EVERY_REQUEST))
    await asyncio.to_thread(gate.wait_serving, 2)
    load = Load(gate.port)
    clients = asyncio.create_task(load.run(keeping=1, opening=1))
    before = await asyncio.to_thread(counters, gate)
    for number in range(1, 4):
        done = await asyncio.to_thread(gate.command, "upgrade")
        assert (done.returncode, done.stderr) == (0, ""), gate.text
        assert f"process {gate.process.pid}" in done.stdout
        after = await asyncio.to_thread(counters, gate)
        assert [key for key in before if after.get(key, -1) < before[key]] == []
        before = after
        _, status = await asyncio.to_thread(gate.admin, "GET", "/api/v1/status")
        assert (status["upgrades"], status["pid"]) == (number, gate.process.pid)
    load.finished = True
    await clients
    assert load.failures == {}
    assert load.answers > 50
    assert await asyncio.to_thread(gate.terminate) == 0
    assert gate.unstructured == []


def test_buckets_and_the_address_survive(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1, tables=LIMITED))
    gate.wait_serving(1)
    port = gate.port
    assert [gate.get("/")[0] for _ in range(4)] == [200, 200, 200, 429]
    assert gate.command("upgrade").returncode == 0
    assert gate.port == port
    assert gate.get("/")[0] == 429
    gate.wait("worker has drained", 1)
    assert gate.metric("foregate_worker_exits_total", reason="drained") == 1


def test_a_failed_trial_leaves_everything_as_it_was(start_foregate: StartForegate, origin: Origin) -> None:
    text = configuration(origin.url, workers=1)
    gate = start_foregate(text)
    gate.wait_serving(1)
    (worker,) = gate.worker_pids()
    gate.file.write_text(text.replace("[[site]]", '[[site]]\nbalence = "x"'))
    refused = gate.command("upgrade")
    assert refused.returncode == 1
    assert "balence" in refused.stderr
    assert gate.worker_pids() == [worker]
    assert gate.get("/")[0] == 200
    assert gate.admin("GET", "/api/v1/status")[1]["upgrades"] == 0


def test_a_program_that_cannot_start_is_found_out(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    gate = start_foregate(
        configuration(origin.url, workers=1), environ={"PYTHONPATH": str(broken), "PYTHONSAFEPATH": ""}
    )
    gate.wait_serving(1)
    (broken / "starlette.py").write_text("raise ImportError('half an installation')")
    refused = gate.command("upgrade")
    assert refused.returncode == 1
    assert "half an installation" in refused.stderr
    assert gate.get("/")[0] == 200


def test_a_request_that_an_old_worker_has_goes_on(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1))
    gate.wait_serving(1)
    with socket.create_connection(("127.0.0.1", gate.port), PATIENCE) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nab")
        assert gate.command("upgrade").returncode == 0
        client.sendall(b"cd")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert origin.requests[-1].content == b"abcd"
