"""Put an instance behind a gateway that hides all clients, as container engines do, and see that it says so.

`python -m tests.campaigns.limits_gateway` (root, unshare, nsenter and ip are needed). Two network namespaces are joined
by a pair of interfaces: the instance lives in one of them and has the other one's address as its default gateway, from
which all connections come. Passes when after some hundred connections the log, the metric and the status say so, when
trusting "private" does not mean trusting that gateway, and when with connections from elsewhere nothing is said.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.traffic.gateway import ALARM_CONNECTIONS
from tests.fakes.callers import ask
from tests.fakes.foregate import RUN, Foregate, configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY: Final = "10.213.7.254"
OTHER: Final = "10.213.7.253"
INSTANCE: Final = "10.213.7.1"
PATIENCE: Final = 40.0
CLIENT_IP: Final = '[client_ip]\ntrusted = ["private"]\n'
UNLIMITED: Final = '[rate_limit]\nrate = "off"\n'


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextmanager
def namespaces() -> "Iterator[list[str]]":
    """Yield the beginning of a command that runs in the instance's namespace; ours has the gateway's address."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    inside = ["nsenter", "--target", str(holder.pid), "--net"]
    try:
        time.sleep(0.5)  # until it has a namespace of its own
        _run("ip", "link", "add", "outside", "type", "veth", "peer", "name", "inside")
        _run("ip", "link", "set", "inside", "netns", str(holder.pid))
        for address in (GATEWAY, OTHER):
            _run("ip", "address", "add", f"{address}/24", "dev", "outside")
        _run("ip", "link", "set", "outside", "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(*inside, "ip", "address", "add", f"{INSTANCE}/24", "dev", "inside")
        _run(*inside, "ip", "link", "set", "inside", "up")
        _run(*inside, "ip", "route", "add", "default", "via", GATEWAY)
        yield inside
    finally:
        holder.kill()
        holder.wait()


def told(inside: list[str], folder: Path, source: str, tables: str = UNLIMITED) -> tuple[bool, bool, bool]:
    """Connect often from an address; return whether log, metric and status tell of the gateway."""
    folder.mkdir()
    text = configuration("http://127.0.0.1:9", workers=2, tables=tables, site='redirect = "https://new.test"')
    text = text.replace('"127.0.0.1:0"', f'"{INSTANCE}:0"')
    gate = Foregate(folder, text, command=[*inside, *RUN])
    try:
        gate.wait_serving(2)
        for _ in range(ALARM_CONNECTIONS + 50):
            assert ask(gate.address("http"), source=source, X_Forwarded_For="198.51.100.1").status == 308
        until = time.monotonic() + (PATIENCE if source == GATEWAY and tables == UNLIMITED else 15.0)
        while not gate.metric("foregate_clients_behind_gateway") and time.monotonic() < until:
            time.sleep(0.5)
        alarms = gate.admin("GET", "/api/v1/status")[1]["alarms"]
        logged = any("default gateway" in line["event"] for line in gate.log)
        seen = gate.access_log.decode()
        assert f'"client":"{source}"' in seen
        assert '"client":"198.51.100.1"' not in seen, "the field named another client"
        return logged, bool(gate.metric("foregate_clients_behind_gateway")), bool(alarms)
    finally:
        gate.close()


def main() -> int:
    """Run it, in a network namespace of our own."""
    if os.environ.get("LIMITS_GATEWAY") != "inside":
        os.environ["LIMITS_GATEWAY"] = "inside"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", "tests.campaigns.limits_gateway"])
    _run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory() as name, namespaces() as inside:
        folder = Path(name)
        outcomes = {
            "from the gateway": (told(inside, folder / "a", GATEWAY), (True, True, True)),
            "from the gateway, private networks trusted": (
                told(inside, folder / "b", GATEWAY, UNLIMITED + CLIENT_IP),
                (False, False, False),
            ),
            "from elsewhere": (told(inside, folder / "c", OTHER), (False, False, False)),
        }
    for case, (found, due) in outcomes.items():
        print(case, "log, metric, status:", found, "as due" if found == due else f"but {due} was due")
    return 0 if all(found == due for found, due in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
