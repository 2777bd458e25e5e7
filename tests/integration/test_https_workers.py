"""A worker that starts late has every certificate before it says that it serves, however many there are."""

import os
import signal

from tests.fakes.https import Visitor, https_configuration, site
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

COUNT = 400


def test_replaced_workers_know_hundreds_of_certificates(
    start_foregate: StartForegate, origin: Origin
) -> None:
    names = [f"site{number}.test" for number in range(COUNT)]
    sites = site(*names, upstream=origin.url, more='tls = { mode = "self-signed", group = true }')
    gate = start_foregate(https_configuration(sites))
    gate.wait("certificate in use", COUNT)
    gate.wait_serving(2)
    root = (gate.storage / "local-ca" / "root.pem").read_bytes()
    browser = Visitor(gate.address("https"), root)
    assert browser.get(names[0]).status == 200
    for pid in gate.worker_pids():
        os.kill(pid, signal.SIGKILL)
    gate.wait("worker serves", 4)
    assert {browser.get(name).status for name in (*names[:3], names[COUNT // 2], *names[-3:])} == {200}
    assert not gate.events("worker ended", reason="not_ready")
    assert gate.metric("foregate_worker_exits_total", reason="faulty") == 0
