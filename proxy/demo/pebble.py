"""Pebble, the test CA of Let's Encrypt (Debian package `pebble`), where it is installed: a real order by ACME.

Pebble resolves names through its companion pebble-challtestsrv, to 127.0.0.1 whatever the name, and asks for the
challenge on the demo's own http port. Its own https uses a certificate that is made here.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.demo.errors import DemoError
from proxy.demo.ports import free_ports

_HOST: Final = "127.0.0.1"  # "localhost" need not resolve on a minimal system
_COMMANDS: Final = ("pebble", "pebble-challtestsrv")
_READY_WITHIN: Final = 60.0  # seconds
_LOOK: Final = 0.02  # seconds
_LOG: Final = "pebble.log"


@dataclass(frozen=True, slots=True)
class TestCa:
    """Where the CA is asked for certificates, whom to trust when asking, and how its root reads in PEM."""

    directory: str
    ca_file: Path
    root_pem: str


def is_installed() -> bool:
    """Tell whether both programs are there."""
    return all(shutil.which(command) for command in _COMMANDS)


@contextmanager
def running_pebble(folder: Path, challenge_port: int) -> Iterator[TestCa]:
    """Run Pebble with its files in a new folder until the block ends. Raises DemoError when it does not start."""
    folder.mkdir()
    port, management, dns, dns_management, tls = free_ports(14000, 15000, 8053, 8055, 5001)
    ca_file = _own_https(folder)
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "https.pem"),
        "privateKey": str(folder / "https.key"),
        "httpPort": challenge_port,
        "tlsPort": tls,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    resolving = ["-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}"]
    resolving += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
    with ExitStack() as running:
        started = [
            running.enter_context(_running(folder, "pebble-challtestsrv", *resolving)),
            running.enter_context(
                _running(
                    folder,
                    "pebble",
                    *("-config", str(folder / "pebble.json")),
                    *("-dnsserver", f"127.0.0.1:{dns}", "-strict=false"),
                )
            ),
        ]
        for awaited in (dns_management, port, management):
            _await(awaited, started, folder / _LOG)
        yield TestCa(f"https://{_HOST}:{port}/dir", ca_file, _root(management, ca_file))


def _own_https(folder: Path) -> Path:
    """Make key and certificate for Pebble's own https; return the root that signed it."""
    # Imported here: without Pebble nobody should wait for it.
    from autocert.local_ca import LocalCa
    from autocert.storage import Storage

    issuer = LocalCa(Storage(folder))
    made = issuer.issue((_HOST,), "p256", time.time())
    (folder / "https.pem").write_bytes(made.chain_pem)
    (folder / "https.key").write_bytes(made.key_pem)
    return issuer.root_path


def _root(management: int, ca_file: Path) -> str:
    """Ask for the root of the certificates that it issues."""
    url = f"https://{_HOST}:{management}/roots/0"
    try:
        with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=str(ca_file))) as reply:
            content: bytes = reply.read()
    except OSError as exc:
        raise DemoError(f"Pebble does not tell its root certificate: {exc}") from exc
    return content.decode()


@contextmanager
def _running(folder: Path, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    environ = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with (folder / _LOG).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 (our own words)
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await(port: int, started: "list[subprocess.Popen[bytes]]", log: Path) -> None:
    ends = time.monotonic() + _READY_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > ends or any(process.poll() is not None for process in started):
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise DemoError(f"Pebble does not start:\n{tail}") from None
        time.sleep(_LOOK)
