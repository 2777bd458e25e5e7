"""A worker process of a campaign, and the pipe on which it shows that it gets on."""

import os
import select
import subprocess
from typing import Final

PATIENCE_S: Final = 20.0


class Progress:
    """A process that writes to a pipe as long as it works."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int) -> None:
        self._process = process
        self._reading = reading
        os.set_blocking(reading, False)

    def await_progress(self) -> None:
        """Wait until the process has done something after this call; raises AssertionError if it does not."""
        while self._read():
            pass
        if not select.select([self._reading], [], [], PATIENCE_S)[0] or not self._read():
            raise AssertionError(f"worker {self._process.pid} does not get on")

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill the process, stopped or not, and wait for its end."""
        self._process.kill()
        self._process.wait()
        os.close(self._reading)

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, 65536)
        except BlockingIOError:
            return b""


def show_life(descriptor: int) -> None:
    """Write to the pipe, unless it is full."""
    try:
        os.write(descriptor, b".")
    except BlockingIOError:
        return
