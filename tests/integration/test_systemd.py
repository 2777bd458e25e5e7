"""Under a service manager: sockets come from it, and it is told how the service is."""

import os
import signal
import socket
import sys
from pathlib import Path

from tests.fakes.foregate import PATIENCE, RUN, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate


def said(manager: socket.socket, line: str) -> list[str]:
    """Read messages until one has the line."""
    while True:
        message = manager.recv(4096).decode().split("\n")
        if line in message:
            return message


def test_a_life_under_systemd(start_foregate: StartForegate, origin: Origin, tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", 0), backlog=128) as lent,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        port = lent.getsockname()[1]
        os.set_inheritable(lent.fileno(), True)
        activated = (sys.executable, "-m", "tests.fakes.run_activated", str(lent.fileno()), "http", *RUN)
        gate = start_foregate(
            configuration(origin.url, workers=1, http=[f"127.0.0.1:{port}"]),
            command=activated,
            environ={"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000000"},
            pass_fds=(lent.fileno(),),
        )
        assert said(manager, "READY=1") == ["READY=1", "STATUS=serving"]
        assert said(manager, "WATCHDOG=1") == ["WATCHDOG=1"]
        assert gate.port == port
        assert gate.get("/")[0] == 200
        gate.signal(signal.SIGHUP)
        assert said(manager, "RELOADING=1")[1].startswith("MONOTONIC_USEC=")
        assert said(manager, "READY=1") == ["READY=1", "STATUS=configuration reloaded"]
        assert gate.command("upgrade").returncode == 0
        assert said(manager, "READY=1") == ["READY=1", "STATUS=serving"]
        assert gate.get("/")[0] == 200
        gate.signal(signal.SIGTERM)
        said(manager, "STOPPING=1")
        assert gate.wait_exit() == 0
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            lent.accept()[0].close()  # it waits in the socket that systemd holds
