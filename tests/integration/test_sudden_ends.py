"""Processes that are killed at any moment, and what the next instance makes of what they leave."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.campaigns import sudden_ends
from tests.campaigns.sudden_ends import processes
from tests.fakes.foregate import PATIENCE, ROOT, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate


def stopped_trial(pid: int, others: set[int]) -> int:
    """Stop the trial start of an upgrade as soon as it is there."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        for child in processes(pid)[1:]:
            if child not in others:
                os.kill(child, signal.SIGSTOP)
                return child
    raise AssertionError("no trial start")


def test_an_instance_killed_while_it_tries_an_upgrade_leaves_its_ports(
    start_foregate: StartForegate, origin: Origin
) -> None:
    port = sudden_ends.free_port(random.Random())
    first = start_foregate(configuration(origin.url, workers=1, http=[f"127.0.0.1:{port}"]))
    first.wait_serving(1)
    upgrade = [sys.executable, "-m", "proxy", "upgrade", "--config", str(first.file)]
    with subprocess.Popen(upgrade, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        trial = stopped_trial(first.process.pid, set(first.worker_pids()))
        first.process.kill()
    try:
        first.wait("the supervisor is gone: draining")
        second = start_foregate(configuration(origin.url, workers=1, http=[f"127.0.0.1:{port}"]))
        second.wait_serving(1)
        assert second.get("/") == (200, sudden_ends.DUE)
    finally:
        os.kill(trial, signal.SIGKILL)


def test_whoever_is_killed_the_next_instance_serves(tmp_path: Path) -> None:
    outcome = sudden_ends.campaign(tmp_path, rounds=2, seed=2)
    assert outcome.wrong == []
    assert outcome.kills.total() == 2
