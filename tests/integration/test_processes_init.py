"""Foregate as PID 1 of a container: it reaps what nobody else will, and takes signals."""

import os
import signal
import subprocess
from functools import cache
from pathlib import Path

from tests.fakes.foregate import RUN, configuration
from tests.integration.conftest import StartForegate

NOWHERE = "http://127.0.0.1:9"
# The shell starts a child and becomes Foregate, which then has a child that it does not know.
WITH_AN_ORPHAN = 'cat "$0" & exec "$@"'


@cache
def own_namespace() -> tuple[str, ...]:
    """Return what makes a command PID 1 of a namespace; empty where the kernel does not allow it."""
    for options in (("-p", "-f", "--mount-proc"), ("-U", "-r", "-p", "-f", "--mount-proc")):
        command = ("unshare", *options)
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return ()


def only_child(pid: int) -> int:
    """Return the process id of a process's only child."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_it_reaps_orphans_and_drains_on_sigterm(start_foregate: StartForegate, tmp_path: Path) -> None:
    fifo = tmp_path / "orphan"
    os.mkfifo(fifo)
    command = [*own_namespace(), "sh", "-c", WITH_AN_ORPHAN, str(fifo), *RUN]
    gate = start_foregate(configuration(NOWHERE, workers=1), command=command)
    gate.wait_serving(1)
    with open(fifo, "wb"):
        pass  # the orphan reads the end of its input and ends
    gate.wait("reaped an orphan", ended="exit status 0")
    supervisor = only_child(gate.process.pid) if own_namespace() else gate.process.pid
    if own_namespace():
        assert "\nNSpid:\t" in (status := Path(f"/proc/{supervisor}/status").read_text())
        assert status.partition("\nNSpid:\t")[2].splitlines()[0].split()[-1] == "1"
    os.kill(supervisor, signal.SIGTERM)
    assert gate.wait_exit() == 0


def test_a_ctrl_c_in_the_terminal_drains_as_well(start_foregate: StartForegate) -> None:
    gate = start_foregate(configuration(NOWHERE, workers=2))
    gate.wait_serving(2)
    (pid, *_) = gate.worker_pids()
    assert os.getpgid(pid) != os.getpgid(gate.process.pid)
    gate.signal(signal.SIGINT)
    assert gate.wait_exit() == 0
    gate.wait("worker has drained", 2, ended="exit status 0")
