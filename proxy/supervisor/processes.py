"""Child processes: started by exec, never by a bare fork, and reaped in one place.

The supervisor may be PID 1 of a container, so children that it never started can become its own: whatever
ends is reaped here. Therefore nothing else in the supervisor may wait for a child, and whoever needs one
starts it through `Children`.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

import proxy
from proxy.supervisor.errors import StartError
from proxy.telemetry import process_log

_log = process_log.logger("supervisor")

CONTROL_DESCRIPTOR: Final = 3  # where a worker finds its end of the control channel
_FIRST_FREE: Final = 10
_LAST_STANDARD: Final = 2
_EARLIER: Final = 300  # of 1,000, which is all memory
_RESET_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)

# A worker faces the network: it gets what it needs to run, not the secrets that the environment may hold.
_ENVIRONMENT: Final = ("PATH", "LANG", "TZ", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD")
_ENVIRONMENT_PREFIXES: Final = ("LC_", "PYTHON", "MALLOC_", "SSL_CERT_", "OPENSSL_")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: its exit status, negative for a signal, and the CPU seconds that it used."""

    status: int
    cpu_seconds: float

    def __str__(self) -> str:
        """Say it for a person."""
        if self.status >= 0:
            return f"exit status {self.status}"
        try:
            return f"killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"killed by signal {-self.status}"


class Children:
    """Start children and tell how each one ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take SIGCHLD from now on."""
        self._loop = loop
        self._on_exit: dict[int, Callable[[Exit], None]] = {}
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def start(self, command: tuple[str, ...], channel: socket.socket, on_exit: Callable[[Exit], None]) -> int:
        """Start a child with `channel` as its descriptor 3 and return its process id.

        Raises StartError when the command cannot be executed.
        """
        inherited = _moved_up(channel.fileno())
        places = [(os.POSIX_SPAWN_DUP2, inherited, CONTROL_DESCRIPTOR)]
        try:
            pid = self.spawn(command, child_environment(os.environ), places, on_exit)
        finally:
            os.close(inherited)
        _let_go_first(pid)
        return pid

    def spawn(
        self,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        descriptors: Sequence[tuple[int, int, int]],
        on_exit: Callable[[Exit], None],
    ) -> int:
        """Start a child with `descriptors`, which are actions of posix_spawn, and return its process id.

        Raises StartError when the command cannot be executed.
        """
        try:
            pid = os.posix_spawn(
                command[0],
                command,
                environment,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *descriptors],
                setpgroup=0,  # a Ctrl-C in the terminal is for the supervisor alone
                setsigmask=(),
                setsigdef=_RESET_SIGNALS,
            )
        except OSError as exc:
            raise StartError(
                f"cannot start {command[0]} as this user: {exc.strerror}; "
                f"install Foregate where the user may read it, or set [server] user"
            ) from exc
        self._on_exit[pid] = on_exit
        return pid

    def adopt(self, pid: int, on_exit: Callable[[Exit], None]) -> None:
        """Tell how a child ends that this process started when it ran another program."""
        self._on_exit[pid] = on_exit

    def reap(self) -> None:
        """Collect every child that has ended, our own and those that fell to PID 1."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            ended = Exit(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)
            on_exit = self._on_exit.pop(pid, None)
            if on_exit is None:
                _log.debug("reaped an orphan", extra=process_log.fields(pid=pid, ended=str(ended)))
            else:
                on_exit(ended)

    def close(self) -> None:
        """Stop taking SIGCHLD."""
        self._loop.remove_signal_handler(signal.SIGCHLD)


def open_standard_descriptors() -> None:
    """Open /dev/null in the place of a standard descriptor that is closed.

    Else the next socket would take its number: what is printed would go there, and libuv refuses to close it.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        os.set_inheritable(opened, True)
    os.close(opened)


def keep_descriptors() -> None:
    """Keep every descriptor but the standard ones from children, whatever this process was started with."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2:
            with suppress(OSError):  # the folder that is being read is closed by now
                os.set_inheritable(descriptor, False)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Pick what a worker gets of the environment, and let it find this very installation of Foregate."""
    picked = {
        name: value
        for name, value in environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    home = str(Path(proxy.__file__).parents[1])
    if home not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        picked["PYTHONPATH"] = os.pathsep.join(filter(None, (home, picked.get("PYTHONPATH", ""))))
    return picked


def worker_command() -> tuple[str, ...]:
    """Return how a worker is started: isolated from the working folder, in which anything may lie."""
    return (sys.executable, "-P", "-m", "proxy.worker", str(CONTROL_DESCRIPTOR))


def installation() -> tuple[Path, ...]:
    """Name what a worker must be able to read: the interpreter, its library, Foregate, and what that needs."""
    return tuple(map(Path, (sys.executable, os.__file__, proxy.__file__, uvloop.__file__)))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used so far, 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    after_name = text.rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _let_go_first(pid: int) -> None:
    """Let the kernel, when memory runs out, end a worker rather than the supervisor, which can replace it."""
    with suppress(OSError):
        own = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(min(1000, own + _EARLIER)), encoding="ascii")


def _moved_up(descriptor: int) -> int:
    """Duplicate a descriptor beyond those that the child is given, so that none overwrites another."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
