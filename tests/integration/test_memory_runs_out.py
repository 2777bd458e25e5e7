"""A worker that gets no more memory hands over to another one."""

import resource
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.fakes.foregate import PATIENCE, configuration
from tests.fakes.origin import Origin, OriginResponse
from tests.integration.conftest import StartForegate

ROOM = 1024 * 1024
#: A head that is not over, and is kept until it is.
GREEDY = b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"X: %s\r\n" % (b"x" * 1000) * 15
TABLES = '[rate_limit]\nrate = "off"\n[cache]\nttl = "0s"\n[limits]\nconnections_per_ip = 10000'


def leave_little(pid: int) -> None:
    """Let a process have no more than a little memory besides what it has."""
    (size,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmSize" in line)
    _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (int(size.split()[1]) * 1024 + ROOM, hard))


def test_a_worker_without_memory_is_replaced(start_foregate: StartForegate, origin: Origin) -> None:
    origin.answer = lambda _request: OriginResponse(content=b"small")
    gate = start_foregate(configuration(origin.url, workers=1, tables=TABLES))
    gate.wait_serving(1)
    (pid,) = gate.worker_pids()
    leave_little(pid)
    with ExitStack() as clients:
        for _ in range(2000):
            if gate.events("worker ended") or len(gate.events("worker serves")) > 1:
                break
            client = clients.enter_context(socket.create_connection(("127.0.0.1", gate.port), PATIENCE))
            with suppress(OSError):  # the connections of the worker that leaves end as they can
                client.sendall(GREEDY)
        gate.wait_serving(2)
    assert gate.get("/") == (200, b"small")
    assert gate.worker_pids() != [pid]
