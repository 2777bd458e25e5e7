"""What systemd is told, and the sockets that it lends."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from proxy.config.schema import ListenAddress
from proxy.supervisor.listeners import Endpoint, Purpose, adopt_lent
from proxy.supervisor.service_manager import ServiceManager, lent_sockets


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.bind(str(tmp_path / "notify"))
    opened.settimeout(60)
    return opened


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


async def test_ready_reload_stop_and_signs_of_life(manager: socket.socket) -> None:
    with manager:
        service = ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000"})
        service.reloading()  # not before it is ready
        serving = asyncio.Event()
        attending = asyncio.create_task(service.attend(lambda: wait(serving)))
        serving.set()
        assert await asyncio.to_thread(told, manager) == ["READY=1", "STATUS=serving"]
        assert await asyncio.to_thread(told, manager) == ["WATCHDOG=1"]
        assert await asyncio.to_thread(told, manager) == ["WATCHDOG=1"]
        attending.cancel()
        await asyncio.wait([attending])
        drained(manager)
        service.reloading()
        first, moment, _ = told(manager)
        assert first == "RELOADING=1"
        assert int(moment.removeprefix("MONOTONIC_USEC=")) > 0
        service.reloaded("configuration reloaded")
        assert told(manager) == ["READY=1", "STATUS=configuration reloaded"]
        service.stopping()
        assert told(manager)[0] == "STOPPING=1"


async def wait(event: asyncio.Event) -> None:
    await event.wait()


def drained(manager: socket.socket) -> None:
    """Take what has been said already."""
    manager.setblocking(False)
    try:
        while True:
            manager.recv(4096)
    except BlockingIOError:
        manager.settimeout(60)


async def test_an_abstract_socket_and_another_processs_watchdog() -> None:
    name = f"foregate-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        environ = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        serving = asyncio.Event()
        serving.set()
        await ServiceManager(environ).attend(lambda: wait(serving))
        assert told(manager) == ["READY=1", "STATUS=serving"]


async def test_without_a_manager_nobody_is_told() -> None:
    service = ServiceManager({})
    service.ready("serving")
    service.reloading()
    service.stopping()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready("serving")


def test_sockets_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c", "PATH": "/bin"}
    assert lent_sockets(environ) == []
    assert environ == {"PATH": "/bin"}


def test_lent_sockets_are_matched_by_address_and_name() -> None:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in opened]
    wanted = [
        Endpoint(Purpose.METRICS, ListenAddress(host="127.0.0.1", port=ports[0])),
        Endpoint(Purpose.HTTP, ListenAddress(host="127.0.0.1", port=ports[1])),
        Endpoint(Purpose.HTTPS, ListenAddress(host="127.0.0.1", port=1)),
    ]
    adopted, unknown = adopt_lent(wanted, zip(("metrics", "web.socket", "http"), opened, strict=True))
    assert [one.endpoint for one in adopted] == wanted[:2]
    assert unknown == [str(("127.0.0.1", ports[2]))]
    assert opened[2].fileno() == -1
    for one in adopted:
        one.turn_away()  # not a lent one: it would stay deaf
        with socket.create_connection(one.socket.getsockname(), 10):
            one.close()
