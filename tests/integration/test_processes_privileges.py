"""Privileges: what is left of them after the start, and what is said when there are too few.

Every test holds for root and for anybody else; what it expects differs.
"""

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.supervisor.errors import PrivilegeError
from proxy.supervisor.privileges import choose_identity
from proxy.supervisor.processes import installation
from tests.fakes.foregate import PATIENCE, ROOT, configuration
from tests.integration.conftest import StartForegate

NOBODY = 65534
NET_BIND_SERVICE = 1 << 10
NOWHERE = "http://127.0.0.1:9"
IS_ROOT = os.geteuid() == 0
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
UNPRIVILEGED_PORTS = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


def nobody_can_read(paths: Sequence[Path]) -> bool:
    """Tell whether user nobody could run what is installed there; only root can find out."""
    tests = [["test", "-r", str(path)] for path in paths]
    return IS_ROOT and all(subprocess.run([*AS_NOBODY, *test], check=False).returncode == 0 for test in tests)


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """Return a folder that everybody can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def report(open_folder: Path) -> dict[str, Any]:
    """Return what a process sees that has given its privileges up."""
    folder = open_folder / "report"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fakes.drop_privileges", str(folder / "storage"), "999"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_the_user_is_given_up_for_good(report: dict[str, Any]) -> None:
    user = NOBODY if IS_ROOT else os.geteuid()
    assert report["own"]["Uid"].split() == [str(user)] * 4
    assert not report["becomes_root"]
    assert 0 not in report["groups"] or not IS_ROOT


def test_binding_low_ports_is_the_only_capability_left_and_is_not_handed_down(report: dict[str, Any]) -> None:
    allowed = NET_BIND_SERVICE if IS_ROOT else 0
    assert int(report["own"]["CapPrm"], 16) == allowed
    assert int(report["own"]["CapEff"], 16) == allowed
    assert int(report["own"]["CapInh"], 16) == int(report["own"]["CapAmb"], 16) == 0
    assert int(report["child"]["CapPrm"], 16) == int(report["child"]["CapEff"], 16) == 0
    assert report["binds_low_port"] == (IS_ROOT or UNPRIVILEGED_PORTS <= 999)


def test_no_program_started_later_gains_a_privilege(report: dict[str, Any]) -> None:
    assert report["own"]["NoNewPrivs"] == report["child"]["NoNewPrivs"] == "1"


def test_the_storage_belongs_to_the_user_alone(report: dict[str, Any]) -> None:
    assert report["storage_owner"] == (NOBODY if IS_ROOT else os.geteuid())
    assert report["storage_mode"] == 0o700
    assert report["storage_writable"]


def test_root_becomes_nobody_or_says_why_it_cannot(start_foregate: StartForegate, open_folder: Path) -> None:
    storage = open_folder / "storage"
    text = configuration(NOWHERE, workers=1, server='user = ""').replace('"storage"', f'"{storage}"')
    gate = start_foregate(text)
    if IS_ROOT and not nobody_can_read(installation()):
        assert gate.wait_exit() == 1
        (line,) = gate.unstructured
        assert line.startswith("foregate: user nobody cannot read ")
        assert line.endswith('or set [server] user ("root" stays root)')
        return
    gate.storage = storage
    gate.wait_serving(1)
    user = NOBODY if IS_ROOT else os.geteuid()
    for pid in (gate.process.pid, *gate.worker_pids()):
        assert f"\nUid:\t{user}\t{user}\t{user}\t{user}\n" in Path(f"/proc/{pid}/status").read_text()
    assert (gate.storage / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert gate.terminate() == 0


def test_no_permission_for_port_80_is_one_clear_line(tmp_path: Path) -> None:
    """Bind as a user without capabilities, in the same way as `foregate run` does."""
    script = (
        "from proxy.config.schema import ListenAddress\n"
        "from proxy.supervisor.listeners import Endpoint, Purpose, open_listener\n"
        "open_listener(Endpoint(Purpose.HTTP, ListenAddress(host='', port=80)))\n"
    )
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if IS_ROOT else []
    ended = subprocess.run(
        [*without, sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    if UNPRIVILEGED_PORTS > 80:
        assert "no permission for port 80; start as root or with CAP_NET_BIND_SERVICE" in ended.stderr


def test_only_root_can_become_somebody_else(open_folder: Path) -> None:
    if IS_ROOT:
        daemon = choose_identity("daemon", open_folder)
        assert daemon is not None
        assert daemon.user_id == pwd.getpwnam("daemon").pw_uid
    else:
        with pytest.raises(PrivilegeError, match="needs a start as root"):
            choose_identity("root", open_folder)


def test_a_storage_that_its_user_cannot_reach_is_named(start_foregate: StartForegate) -> None:
    """Pytest's folders are their owner's alone."""
    gate = start_foregate(configuration(NOWHERE, workers=1, server='user = ""'))
    if IS_ROOT:
        assert gate.wait_exit() == 1
        (line,) = gate.unstructured
        assert f"cannot reach the storage {gate.storage}" in line or "cannot read" in line
    else:
        gate.wait_serving(1)
