"""`foregate demo` as a user has it: the whole show, with and without Pebble, and its end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.demo import stage
from tests.fakes.foregate import PATIENCE, ROOT

DEMO = (sys.executable, "-P", "-m", "proxy", "demo")
# What the container image says does not concern the demo.
INSTALLED = {"FOREGATE_STORAGE": "/nowhere", "FOREGATE_METRICS": "192.0.2.1:1"}
# Foregate, whose local CA sets to work long after the workers have become ready.
LATE = """
import time
from autocert.local_ca import LocalCa
from proxy.cli import main

def issue_late(*args, issue=LocalCa.issue):
    time.sleep(2)
    return issue(*args)

LocalCa.issue = issue_late
main()
"""
SHOWN = ("Location: https://localhost:", "X-Cache-Status: HIT", "got 429", 'code="429"')


def path_without(*commands: str) -> str:
    """Return $PATH without the folders that hold one of the commands."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(
        folder for folder in folders if not any((Path(folder) / name).exists() for name in commands)
    )


def test_once_with_a_certificate_from_pebble(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*DEMO, "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "issued by Pebble" in ended.stdout
    assert [part for part in SHOWN if part not in ended.stdout] == []
    assert "Yours to try" not in ended.stdout


def test_it_stays_up_until_it_is_told_to_end_and_leaves_nothing(tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": path_without("pebble"), "TMPDIR": str(tmp_path), **INSTALLED}
    with subprocess.Popen(DEMO, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        said = ""
        try:
            while "reload; logs:" not in said and (line := demo.stdout.readline()):
                said += line
        finally:
            demo.send_signal(signal.SIGTERM)
        assert [part for part in (*SHOWN, "local CA", "curl --cacert") if part not in said] == []
        assert demo.wait(PATIENCE) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_local_ca_that_makes_its_root_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "is_installed", lambda: False)
    monkeypatch.setattr(stage, "_COMMAND", (sys.executable, "-P", "-c", LATE))
    said: list[str] = []
    stage.run_demo(said.append, once=True)
    assert [part for part in (*SHOWN, "local CA") if part not in "\n".join(said)] == []
