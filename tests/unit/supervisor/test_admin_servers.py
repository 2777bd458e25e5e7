"""An admin socket that is gone; tests/integration/test_admin_attacks.py has it made anew."""

import socket
from pathlib import Path
from typing import cast

import pytest

from proxy.admin.operations import Operations
from proxy.supervisor.admin_servers import AdminServers
from proxy.supervisor.listeners import Endpoint, Listener, Purpose


def test_a_socket_that_cannot_be_made_anew_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "storage"
    folder.touch()  # no folder any more
    endpoint = Endpoint(Purpose.ADMIN, None, str(folder / "admin.sock"))
    servers = AdminServers(cast("Operations", None), (), lambda: "")
    with socket.socket(socket.AF_UNIX) as lost:
        listeners = {endpoint: Listener(endpoint, lost)}
        for _ in range(3):
            servers.mend(listeners)
        assert listeners[endpoint].socket is lost
        (record,) = caplog.records
        assert record.message == "the admin socket is gone and cannot be made anew"
