"""What a client has used up stays used up, whatever becomes of configuration, workers and the instance itself."""

import json
import os
import signal
from pathlib import Path

from tests.fakes.callers import ask
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin, running_origin

TABLES = '[rate_limit]\nrate = "1/h"\nburst = 3\n[cache]\nttl = "0s"\n'
ALICE, BOB = "127.0.0.2", "127.0.0.3"


def statuses(gate: Foregate, source: str, count: int = 1) -> list[int]:
    return [ask(gate.address("http"), source=source).status for _ in range(count)]


def start(folder: Path, origin: Origin) -> Foregate:
    gate = Foregate(folder, configuration(origin.url, workers=2, tables=TABLES))
    gate.wait_serving(2)
    return gate


def test_a_client_stays_limited_over_a_reload_killed_workers_and_a_restart_and_is_listed(
    tmp_path: Path,
) -> None:
    with running_origin() as origin:
        gate = start(tmp_path, origin)
        try:
            assert statuses(gate, ALICE, 5) == [200, 200, 200, 429, 429]
            assert statuses(gate, BOB, 2) == [200, 200]
            gate.file.write_text(gate.file.read_text().replace('storage = "storage"', 'storage = "moved"'))
            assert gate.admin("POST", "/api/v1/reload")[0] == 200
            gate.storage = tmp_path / "moved"
            assert statuses(gate, ALICE) == [429]
            for pid in gate.worker_pids():
                os.kill(pid, signal.SIGKILL)
            gate.wait("worker ended", 2)
            gate.wait_serving(4)
            assert statuses(gate, ALICE) == [429]
            assert gate.terminate() == 0
            (saved,) = gate.wait("rate limits saved")
            assert saved["buckets"] >= 2
        finally:
            gate.close()
        (tmp_path / "moved" / "limits.saved").rename(tmp_path / "storage" / "limits.saved")
        again = start(tmp_path, origin)
        try:
            assert statuses(again, ALICE, 20) == [429] * 20
            assert statuses(again, BOB, 5) == [200, 429, 429, 429, 429]  # one was left
            assert_told(again, {ALICE: 20, BOB: 4})
            assert (told(gate), told(again)) == ([ALICE], [BOB])  # once a minute, over all of it
        finally:
            again.close()


def assert_told(gate: Foregate, numbers: dict[str, int]) -> None:
    """See that the lists and the metrics tell how often each client was refused."""
    whole = sum(numbers.values())
    while refused(listed := gate.admin("GET", "/api/v1/limits")[1]["clients"]) < whole:
        continue
    assert [(row["client"], row["refused"]) for row in listed] == list(numbers.items())
    status = gate.command("status", "--json")
    assert json.loads(status.stdout)["limited_clients"] == listed
    assert gate.metric("foregate_limited_requests_total", site="*", mode="enforced") == whole
    assert gate.metric("foregate_limited_requests_total", site="*", mode="dry_run") == 0


def told(gate: Foregate) -> list[str]:
    """Return whom the log calls limited."""
    return [line["client"] for line in gate.events("a client is limited")]


def refused(listed: list[dict[str, int]]) -> int:
    """Add up what a list tells."""
    return sum(row["refused"] for row in listed)
