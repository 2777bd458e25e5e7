"""Start Debian's Pebble, a real ACME CA for tests, with its DNS, on free ports of the loopback interface."""

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.ports import free_port
from tests.fakes.root_ca import TestCa

_READY_WITHIN = 60.0  # seconds
EAB_KID = "kid-1"
EAB_HMAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class Pebble:
    """Pebble and its challenge test server; every name resolves to 127.0.0.1 until `set_dns` says otherwise."""

    def __init__(
        self,
        folder: Path,
        http_port: int,
        *,
        nonce_reject: int = 0,
        lifetime: int = 90 * 86400,
        reuse: int = 0,
        eab: bool = False,
        port: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._config = folder / "pebble.json"
        self._processes: list[subprocess.Popen[bytes]] = []
        ca = TestCa("Pebble's https")
        self.ca_file = folder / "https-ca.pem"
        self.ca_file.write_bytes(ca.root_pem)
        key, chain = ca.issue(["localhost"])
        (folder / "https.key").write_bytes(key)
        (folder / "https.pem").write_bytes(chain)
        self._port, self._management = port or free_port(), free_port()
        self._dns_port, self._dns_management = free_port(), free_port()
        self.directory = f"https://localhost:{self._port}/dir"
        self.resolver = f"127.0.0.1:{self._dns_port}"
        self._environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
            "PEBBLE_AUTHZREUSE": str(reuse),
        }
        config: dict[str, Any] = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(folder / "https.pem"),
            "privateKey": str(folder / "https.key"),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "certificateValidityPeriod": lifetime,
            "externalAccountBindingRequired": eab,
        }
        if eab:
            config["externalAccountMACKeys"] = {EAB_KID: EAB_HMAC_KEY}
        self._config.write_text(json.dumps({"pebble": config}))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start both programs and wait until they answer; a second start is a CA that has forgotten everything."""
        self._run(
            "pebble-challtestsrv",
            *("-dns01", self.resolver, "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""),
            *("-management", f"127.0.0.1:{self._dns_management}"),
        )
        self._run("pebble", "-config", str(self._config), "-dnsserver", self.resolver, "-strict=false")
        for port in (self._dns_management, self._port, self._management):
            self._await(port)

    def stop(self) -> None:
        """End both programs."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def stop_ca(self) -> None:
        """End the CA alone; its DNS goes on."""
        process = self._processes.pop()
        process.kill()
        process.wait()

    def root_pem(self) -> bytes:
        """Return the root of the certificates that it issues."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        url = f"https://localhost:{self._management}/roots/0"
        with urllib.request.urlopen(url, context=context) as reply:
            content: bytes = reply.read()
        return content

    def set_dns(self, action: str, **content: object) -> None:
        """Change the DNS: `add-a`, `clear-a`, `add-aaaa`, `add-caa`, `set-servfail`, `set-default-ipv4`, ..."""
        url = f"http://127.0.0.1:{self._dns_management}/{action}"
        request = urllib.request.Request(url, json.dumps(content).encode(), method="POST")
        with urllib.request.urlopen(request) as reply:
            reply.read()

    def _run(self, *command: str) -> None:
        log = (self._folder / f"{command[0]}.log").open("ab")
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        self._processes.append(process)

    def _await(self, port: int) -> None:
        ends = time.monotonic() + _READY_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if time.monotonic() > ends or any(process.poll() is not None for process in self._processes):
                    logs = "".join(path.read_text() for path in self._folder.glob("*.log"))
                    raise RuntimeError(f"Pebble does not start:\n{logs}") from None
                time.sleep(0.01)
