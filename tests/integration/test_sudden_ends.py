"""Processes that are killed at any moment, and what the next instance makes of what they leave."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from tests.campaigns import sudden_ends
from tests.fakes.foregate import ROOT, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate


def test_an_instance_killed_while_it_tries_an_upgrade_leaves_its_ports(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    port = sudden_ends.free_port(random.Random())
    text = configuration(origin.url, workers=1, http=[f"127.0.0.1:{port}"])
    first = start_foregate(text, environ={"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": ""})
    first.wait_serving(1)
    told = tmp_path / "told"
    os.mkfifo(told)
    (tmp_path / "starlette.py").write_text(
        f"import os, signal\nopen({str(told)!r}, 'w').write(str(os.getpid()))\nsignal.pause()\n"
    )
    upgrade = [sys.executable, "-m", "proxy", "upgrade", "--config", str(first.file)]
    with subprocess.Popen(upgrade, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        trial = int(told.read_text())  # which has come as far as its imports, and goes no farther
        first.process.kill()
    try:
        first.wait("the supervisor is gone: draining")
        second = start_foregate(text)
        second.wait_serving(1)
        assert second.get("/") == (200, sudden_ends.DUE)
    finally:
        os.kill(trial, signal.SIGKILL)


def test_whoever_is_killed_the_next_instance_serves(tmp_path: Path) -> None:
    outcome = sudden_ends.campaign(tmp_path, rounds=1, seed=16)
    assert outcome.wrong == []
    assert outcome.kills.total() == 1
