"""How many connections a client, and all clients, may have: counted over all workers, whatever becomes of these."""

import os
import signal
import ssl
from contextlib import ExitStack

import pytest

from tests.fakes.callers import Caller, ask
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

UNLIMITED = '[rate_limit]\nrate = "off"\n'
ALICE, BOB = "127.0.0.2", "127.0.0.3"


def open_connection(gate: Foregate, source: str) -> Caller | None:
    """Connect and get an answer; None when the connection was turned away, at once or with 503."""
    caller = Caller(gate.address("http"), source)
    try:
        status = caller.ask("/").status
    except ConnectionError:
        status = 0
    if status == 200:
        return caller
    caller.close()
    assert status in (0, 503)
    return None


def test_a_client_has_so_many_connections_over_all_workers(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(
        configuration(origin.url, workers=3, tables=f"{UNLIMITED}[limits]\nconnections_per_ip = 6")
    )
    gate.wait_serving(3)
    with ExitStack() as stack:
        mine = [stack.enter_context(caller) for _ in range(6) if (caller := open_connection(gate, ALICE))]
        assert len(mine) >= 4  # to within the number of workers, of which two may count at the same instant
        while caller := open_connection(gate, ALICE):
            mine.append(stack.enter_context(caller))
        assert len(mine) == 6
        assert ask(gate.address("http"), source=BOB).status == 200
        gate.wait_some("foregate_connections_refused_total", reason="per_address")
        assert [caller.ask("/").status for caller in mine] == [200] * 6
        mine.pop().close()
        until_counted_down(gate, 5)
        again = open_connection(gate, ALICE)
        assert again is not None
        again.close()


def until_counted_down(gate: Foregate, count: int) -> None:
    """Wait until the instance has noticed that connections were closed."""
    while gate.metric("foregate_connections_active", scheme="http") > count:
        pass


def test_the_connections_of_a_killed_worker_are_not_counted_any_more(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(
        configuration(origin.url, workers=2, tables=f"{UNLIMITED}[limits]\nconnections_per_ip = 8")
    )
    gate.wait_serving(2)
    with ExitStack() as stack:
        while caller := open_connection(gate, ALICE):
            stack.enter_context(caller)
        for pid in gate.worker_pids():
            os.kill(pid, signal.SIGKILL)
        gate.wait("worker ended", 2)
        gate.wait_serving(4)
        fresh = []
        while caller := open_connection(gate, ALICE):
            fresh.append(stack.enter_context(caller))
        assert len(fresh) == 8


def test_at_the_limit_an_idle_connection_gives_way_and_a_reload_moves_the_limit(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(
        configuration(origin.url, workers=1, server="max_connections = 4", tables=UNLIMITED)
    )
    gate.wait_serving(1)
    with ExitStack() as stack:
        callers = []
        for number in range(6):
            caller = open_connection(gate, f"127.0.1.{number + 1}")
            assert caller is not None
            callers.append(stack.enter_context(caller))
        assert callers[0].is_closed_by_server()
        assert callers[1].is_closed_by_server()
        assert [caller.ask("/").status for caller in callers[2:]] == [200] * 4
        text = gate.file.read_text()
        gate.file.write_text(text.replace("max_connections = 4", "max_connections = 9"))
        assert gate.admin("POST", "/api/v1/reload")[0] == 200
        for number in range(5):
            caller = open_connection(gate, f"127.0.2.{number + 1}")
            assert caller is not None
            callers.append(stack.enter_context(caller))
        assert [caller.ask("/").status for caller in callers[2:]] == [200] * 9
        gate.wait_metric(2, "foregate_connections_refused_total", reason="limit")


def test_all_workers_together_keep_the_limit_after_one_was_killed(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(
        configuration(origin.url, workers=2, server="max_connections = 6", tables=UNLIMITED)
    )
    gate.wait_serving(2)
    with ExitStack() as stack:
        for number in range(12):
            if caller := open_connection(gate, f"127.0.1.{number + 1}"):
                stack.enter_context(caller)
        os.kill(gate.worker_pids()[0], signal.SIGKILL)
        gate.wait("worker ended", 1)
        gate.wait_serving(3)
        for number in range(12):
            if caller := open_connection(gate, f"127.0.2.{number + 1}"):
                stack.enter_context(caller)
        until_counted_down(gate, 6 + 2)


def test_monitoring_and_administration_answer_at_the_limit(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(
        configuration(origin.url, workers=1, server="max_connections = 1", tables=UNLIMITED)
    )
    gate.wait_serving(1)
    with Caller(gate.address("http"), ALICE) as busy:
        # Half a request: this connection is not idle and does not give way.
        busy.socket.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
        while not gate.metric("foregate_connections_active", scheme="http"):
            pass
        with Caller(gate.address("http"), BOB) as second:
            reply = second.ask("/")
            assert reply.status == 503
            assert reply.fields["proxy-status"] == "foregate; error=connection_limit_reached"
            assert second.is_closed_by_server()  # its place is kept for others
        assert gate.get("/healthz", "metrics")[0] == 200
        assert gate.admin("GET", "/api/v1/status")[0] == 200
        busy.socket.sendall(b"\r\n")
        assert busy.socket.recv(12) == b"HTTP/1.1 200"


def test_connections_are_counted_once_whatever_way_they_take(
    start_foregate: StartForegate, origin: Origin
) -> None:
    """Plain, refused, aborted, half a handshake, a whole one: at the end nothing is counted."""
    tls = '[tls]\nmode = "self-signed"\nstorage = "storage"'
    text = configuration(origin.url, workers=1, tables=f"{UNLIMITED}[limits]\nconnections_per_ip = 3")
    text = text.replace('[tls]\nmode = "off"\nstorage = "storage"', tls)
    text = text.replace("https = []", 'https = ["127.0.0.1:0"]').replace('["*"]', '["a.test"]')
    gate = start_foregate(text + "\n")
    gate.wait_serving(1)
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    https = gate.address("https")
    for _ in range(4):
        with ExitStack() as stack:
            whole = [stack.enter_context(Caller(https, ALICE, tls=trusting)) for _ in range(2)]
            assert [caller.ask("/").status for caller in whole] == [200] * 2
            half = stack.enter_context(Caller(https, ALICE))
            with pytest.raises((ssl.SSLError, ConnectionError)), Caller(https, ALICE, tls=trusting) as extra:
                extra.ask("/")
            half.socket.sendall(b"\x16\x03\x01")
            whole[0].socket.sendall(b"GET / HTTP/1.1\r\n")
        with Caller(https, BOB, first=b"nonsense\r\n\r\n") as odd:
            assert odd.is_closed_by_server()
        until_gone(gate)
        full = [Caller(https, ALICE, tls=trusting) for _ in range(3)]
        assert [caller.ask("/").status for caller in full] == [200] * 3
        for caller in full:
            caller.close()
        until_gone(gate)


def until_gone(gate: Foregate) -> None:
    """Wait until no connection is open, as the instance sees it."""
    while gate.metric("foregate_connections_active", scheme="https"):
        pass


def test_a_client_behind_a_trusted_proxy_does_not_use_up_the_proxys_connections(
    start_foregate: StartForegate, origin: Origin
) -> None:
    tables = f'{UNLIMITED}[limits]\nconnections_per_ip = 2\n[client_ip]\ntrusted = ["{ALICE}"]'
    gate = start_foregate(configuration(origin.url, workers=1, tables=tables))
    gate.wait_serving(1)
    with ExitStack() as stack:
        proxied = [stack.enter_context(Caller(gate.address("http"), ALICE)) for _ in range(5)]
        assert [caller.ask("/", X_Forwarded_For="198.51.100.1").status for caller in proxied] == [200] * 5
        # Trust is withdrawn while they are open: what was not counted is not taken off either.
        gate.file.write_text(gate.file.read_text().replace(f'["{ALICE}"]', "[]"))
        assert gate.admin("POST", "/api/v1/reload")[0] == 200
        assert ask(gate.address("http"), source=BOB).status == 200
    while gate.metric("foregate_connections_active", scheme="http"):
        pass
    mine = [caller for _ in range(3) if (caller := open_connection(gate, ALICE))]
    assert len(mine) == 2
    for caller in mine:
        caller.close()
