"""What `foregate run` does: a start, a trial start, or going on where another program stopped."""

import asyncio
import os
import signal
import sys

from proxy.errors import ForegateError
from proxy.supervisor.errors import StartError
from proxy.supervisor.handover import HANDOVER, TRIAL, read
from proxy.supervisor.processes import open_standard_descriptors, worker_command
from proxy.supervisor.source import ConfigFile
from proxy.supervisor.starting import resume, start
from proxy.supervisor.supervisor import Supervisor
from proxy.supervisor.trial import try_out
from proxy.supervisor.upgrade import handed_over


def run(file: ConfigFile, command: tuple[str, ...] = worker_command()) -> None:
    """Run Foregate until it is told to end.

    Raises ConfigError or StartError when it cannot start, StartError when it cannot go on.
    """
    open_standard_descriptors()
    tried = handed_over(os.environ, TRIAL)
    if tried is not None:
        try_out(file, tried, command)
        return
    _take_signals_early()
    held = handed_over(os.environ, HANDOVER)
    started = start(file) if held is None else resume(file, read(held))

    async def supervise() -> str:
        try:
            supervisor = Supervisor(file, started, command)
        except ForegateError:
            for listener in started.listeners:
                listener.close()
            raise
        return await supervisor.run()

    with asyncio.Runner() as runner:
        fault = runner.run(supervise())
    if fault:
        raise StartError(fault)


def _take_signals_early() -> None:
    """End at once on SIGTERM while there is nothing to drain, and let reloads wait: the file is read anyway.

    The kernel ignores signals to PID 1 that it has no handler for, and they end any other process.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
