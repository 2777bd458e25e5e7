"""Give up privileges as the supervisor does, and print what is left: `... STORAGE PORT`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from proxy.config.schema import ListenAddress
from proxy.supervisor import privileges
from proxy.supervisor.errors import ListenError
from proxy.supervisor.listeners import Endpoint, Purpose, open_listener


def status_of(text: str) -> dict[str, str]:
    """Read /proc/PID/status."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def can_bind(port: int) -> bool:
    """Tell whether a listening socket can be opened on a port."""
    try:
        open_listener(Endpoint(Purpose.HTTP, ListenAddress(host="127.0.0.1", port=port))).close()
    except ListenError:
        return False
    return True


def can_become_root() -> bool:
    """Tell whether the old user can be had back."""
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


def main() -> None:
    """Drop, look, print."""
    storage, port = Path(sys.argv[1]), int(sys.argv[2])
    identity = privileges.choose_identity("", storage)
    privileges.prepare_storage(storage, identity)
    privileges.drop(identity)
    privileges.forbid_core_dumps()
    child = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True, check=True)
    report = {
        "own": status_of(Path("/proc/self/status").read_text()),
        "child": status_of(child.stdout),
        "groups": os.getgroups(),
        "binds_low_port": can_bind(port),
        "becomes_root": can_become_root(),
        "storage_mode": storage.stat().st_mode & 0o777,
        "storage_owner": storage.stat().st_uid,
        "storage_writable": os.access(storage, os.W_OK),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
