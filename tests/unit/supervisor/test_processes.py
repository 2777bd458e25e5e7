"""Child processes: what they are given, and that every one is reaped."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import proxy
from proxy.control.channel import channel_pair
from proxy.supervisor.errors import StartError
from proxy.supervisor.processes import (
    CONTROL_DESCRIPTOR,
    Children,
    Exit,
    child_environment,
    cpu_seconds,
    installation,
    keep_descriptors,
    resident_bytes,
)


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    children = Children(asyncio.get_running_loop())
    yield children
    children.close()


async def end_of(children: Children, *command: str) -> tuple[bytes, Exit]:
    """Run a command to its end; return what it sent over the channel, and how it ended."""
    ours, theirs = channel_pair()
    ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    with ours, theirs:
        children.start(command, theirs, ended.set_result)
        theirs.close()
        async with asyncio.timeout(60):
            exit_ = await ended
        ours.setblocking(False)
        try:
            return ours.recv(65536), exit_
        except BlockingIOError:
            return b"", exit_


async def test_a_child_finds_the_channel_as_descriptor_3(children: Children) -> None:
    sent, ended = await end_of(children, "/bin/sh", "-c", f"printf hello >&{CONTROL_DESCRIPTOR}; exit 3")
    assert (sent, ended.status) == (b"hello", 3)
    assert str(ended) == "exit status 3"


OPEN_FILES = """
import os
found = [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
os.write(3, repr((sorted(found), os.readlink("/proc/self/fd/0"))).encode())
"""


async def test_a_child_gets_no_other_descriptor_and_no_input(children: Children) -> None:
    with socket.socket() as inherited:
        inherited.set_inheritable(True)
        keep_descriptors()
        sent, _ = await end_of(children, sys.executable, "-c", OPEN_FILES)
    assert sent == b"(['0', '1', '2', '3'], '/dev/null')"


SCORE = """
import os
scores = [int(open(f"/proc/{pid}/oom_score_adj").read()) for pid in ("self", os.getppid())]
os.write(3, b"%d %d" % (scores[0], min(1000, scores[1] + 300)))
"""


async def test_a_child_goes_first_when_memory_runs_out(children: Children) -> None:
    waiting = "import os, sys; os.read(3, 1)\n" + SCORE
    ours, theirs = channel_pair()
    ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    with ours, theirs:
        children.start((sys.executable, "-c", waiting), theirs, ended.set_result)
        ours.send(b"x")
        async with asyncio.timeout(60):
            await ended
        own, wanted = ours.recv(100).split()
    assert own == wanted


SIGNALS = """
import os, signal
os.write(3, repr((signal.getsignal(signal.SIGTERM), os.getpgid(0) == os.getpid())).encode())
"""


async def test_a_child_starts_with_the_usual_signals_in_a_group_of_its_own(children: Children) -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        sent, _ = await end_of(children, sys.executable, "-c", SIGNALS)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert sent == b"(<Handlers.SIG_DFL: 0>, True)"


async def test_a_signal_that_ended_a_child_has_its_name(children: Children) -> None:
    _, ended = await end_of(children, "/bin/sh", "-c", "kill -KILL $$")
    assert (ended.status, str(ended)) == (-9, "killed by SIGKILL")
    assert str(Exit(-250, 0.0)) == "killed by signal 250"


async def test_a_command_that_cannot_be_executed_says_so(children: Children, tmp_path: Path) -> None:
    ours, theirs = channel_pair()
    before = set(os.listdir("/proc/self/fd"))
    with ours, theirs, pytest.raises(StartError, match="cannot start"):
        children.start((str(tmp_path / "missing"),), theirs, lambda _ended: None)
    assert len(set(os.listdir("/proc/self/fd"))) == len(before) - 2


def start_stranger() -> int:
    """Start a child behind the back of `Children`, as a process that falls to PID 1 is."""
    return os.posix_spawn("/bin/true", ["/bin/true"], {})


def is_child(pid: int) -> bool:
    """Tell whether there is still something to wait for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


async def test_children_that_nobody_started_here_are_reaped_too(children: Children) -> None:
    pid = start_stranger()
    descriptor = os.pidfd_open(pid)
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, gone.set)
    async with asyncio.timeout(60):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
    children.reap()
    assert not is_child(pid)


def test_a_worker_gets_no_secrets_from_the_environment() -> None:
    environ = {"PATH": "/bin", "ADMIN_TOKEN": "secret", "LC_ALL": "C", "PYTHONHASHSEED": "0", "TZ": "UTC"}
    picked = child_environment(environ)
    assert "ADMIN_TOKEN" not in picked
    assert {name: picked[name] for name in ("PATH", "LC_ALL", "PYTHONHASHSEED", "TZ")} == {
        name: environ[name] for name in ("PATH", "LC_ALL", "PYTHONHASHSEED", "TZ")
    }


def test_a_worker_finds_this_very_installation() -> None:
    home = str(Path(proxy.__file__).parents[1])
    assert child_environment({})["PYTHONPATH"] == home
    assert child_environment({"PYTHONPATH": "/x"})["PYTHONPATH"] == f"{home}:/x"


def test_what_a_process_uses() -> None:
    assert resident_bytes(os.getpid()) > 1_000_000
    assert cpu_seconds(os.getpid()) > 0
    assert (resident_bytes(0), cpu_seconds(0)) == (0, 0.0)


def test_everything_that_a_worker_needs_is_there() -> None:
    assert all(path.exists() for path in installation())


STANDARD = """
import os, sys
os.close(0), os.close(1)
from proxy.supervisor.processes import open_standard_descriptors
open_standard_descriptors()
free = os.open("/", os.O_RDONLY)
sys.stderr.write(f"{os.readlink('/proc/self/fd/0')} {os.readlink('/proc/self/fd/1')} {free > 2}")
"""


def test_closed_standard_descriptors_lead_nowhere() -> None:
    said = subprocess.run([sys.executable, "-c", STANDARD], capture_output=True, text=True, check=True).stderr
    assert said == "/dev/null /dev/null True"
