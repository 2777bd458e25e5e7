"""Try the image's root file system as a runtime would: read-only, as its user, with the capabilities that it gets.

Run by `tests/campaigns/image.py` in network, mount and process namespaces of its own, where nothing outlives it.
"""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.fakes.origin import Origin, OriginRequest, OriginResponse, running_origin

USER: Final = "10001"
PATIENCE: Final = 30.0
DOMAIN: Final = "app.test"
NO_CAPABILITY: Final = "-all"
BIND_ALONE: Final = "-all,+net_bind_service"
# What containers see of these is made by the runtime.
LENT: Final = ("null", "zero", "urandom", "random", "full", "tty")


class Container:
    """The image's root file system, and how its programs are started in it."""

    def __init__(self, root: Path, settings: dict[str, Any]) -> None:
        self.root = root
        self.settings = settings
        self._environ = ["env", "-i", *settings["Env"]]

    def prepare(self, configuration: str) -> None:
        """Mount what a runtime mounts, and make everything else read-only."""
        storage, folder = self.root / "var/lib/foregate", self.root / "etc/foregate"
        kept = storage.stat()
        mount("--bind", str(self.root), str(self.root))
        mount("-t", "proc", "proc", str(self.root / "proc"))
        mount("-t", "tmpfs", "tmpfs", str(self.root / "dev"))
        for name in LENT:
            (self.root / "dev" / name).touch()
            mount("--bind", f"/dev/{name}", str(self.root / "dev" / name))
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
        (folder / "proxy.toml").write_text(configuration)
        mount("-o", "remount,ro", str(folder))
        # As Docker fills a new volume: with the owner and the mode that the image has there.
        options = f"mode={kept.st_mode & 0o777:o},uid={kept.st_uid},gid={kept.st_gid}"
        mount("-t", "tmpfs", "-o", options, "tmpfs", str(storage))
        mount("-o", "remount,bind,ro", str(self.root))

    def command(self, *arguments: str, capabilities: str = BIND_ALONE, confined: bool = True) -> list[str]:
        """Return a command that runs another in the container as the image's user."""
        user, group = self.settings["User"].split(":")
        become = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--inh-caps=-all"]
        become += [f"--bounding-set={capabilities}", *(["--no-new-privs"] if confined else [])]
        return ["chroot", str(self.root), *become, *self._environ, *arguments]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    @contextmanager
    def running(
        self, capabilities: str, *, confined: bool
    ) -> Iterator["tuple[subprocess.Popen[bytes], int]"]:
        """Run the image's own command as PID 1; yields the process that waits for it, and its process id."""
        own = (*self.settings["Entrypoint"], *self.settings["Cmd"])
        command = ["unshare", "--pid", "--fork", "--kill-child"]
        command += self.command(*own, capabilities=capabilities, confined=confined)
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
            try:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
                yield process, int(wait_for("its process", lambda: children.read_text().split())[0])
            except BaseException:
                log.seek(0)
                print(log.read().decode(errors="replace"))
                raise
            finally:
                process.kill()
                process.wait()


def mount(*arguments: str) -> None:
    """Mount something, until the namespace ends."""
    subprocess.run(["mount", *arguments], check=True)


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    """Return what `look` finds, once it finds something; OSError is nothing yet."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE:.0f} s for {what} in vain")


def get(port: int, path: str, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Send GET to the container's site, over TLS with a context."""
    opened = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection = http.client.HTTPConnection(DOMAIN, port)
    connection.sock = opened if context is None else context.wrap_socket(opened, server_hostname=DOMAIN)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def is_ready() -> bool:
    """Ask as an orchestrator does."""
    return get(9145, "/readyz")[0] == 200


class Scene:
    """The container in front of an app that takes its time where the target is /slow."""

    def __init__(self, container: Container, origin: Origin) -> None:
        self.container = container
        self._origin = origin
        origin.answer = self._answer
        self._hold = asyncio.Event()
        self._slow = 0

    def serves_and_drains(self, capabilities: str, *, confined: bool) -> None:
        """Start it, ask for pages, try to change it, and end it in the middle of a request."""
        with self.container.running(capabilities, confined=confined) as (process, pid):
            began = time.monotonic()
            wait_for("readiness", is_ready)
            ready = time.monotonic() - began
            root = self.container.root / "var/lib/foregate/local-ca/root.pem"
            wait_for("the local CA", root.exists)
            context = ssl.create_default_context(cafile=str(root))
            assert get(80, "/")[0] in (307, 308)
            assert get(443, "/page", context) == (200, b"from the app")
            self._is_confined(pid)
            upgraded = self.container.run("foregate", "upgrade")
            assert upgraded.returncode == 0, upgraded.stderr
            assert get(443, "/page", context) == (200, b"from the app")
            self._drains(process, pid, context)
        print(
            f"capabilities {capabilities}, no new privileges {confined}: ready after {ready:.1f} s, "
            f"https, healthy, nothing to write to, upgraded in place, drained with status 0"
        )

    def _is_confined(self, pid: int) -> None:
        """Ask it about itself; its processes must not be root's, nor its files writable."""
        assert self.container.run("foregate", "health").stdout == "ready\n"
        assert self.container.run("foregate", "status").returncode == 0
        owners = {line.split()[1] for line in statuses(pid) if line.startswith("Uid:")}
        assert owners == {USER}, owners
        refused = self.container.run("touch", "/etc/foregate/new", "/opt/new", "/tmp/new", "/new").stderr
        assert refused.count("Read-only file system") + refused.count("Permission denied") == 4, refused

    def _drains(self, process: "subprocess.Popen[bytes]", pid: int, context: ssl.SSLContext) -> None:
        """Send SIGTERM while the app works: it is answered, health fails at once, the exit status is 0."""
        self._hold = asyncio.Event()
        address = ("127.0.0.1", 443)
        with context.wrap_socket(
            socket.create_connection(address, PATIENCE), server_hostname=DOMAIN
        ) as opened:
            arrived = len(self._origin.requests)
            self._slow += 1
            opened.sendall(f"GET /slow/{self._slow} HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode())
            self._origin.wait_for_requests(arrived + 1)
            os.kill(pid, signal.SIGTERM)
            wait_for("the end of readiness", lambda: get(9145, "/readyz")[0] == 503)
            assert self.container.run("foregate", "health").returncode == 1
            self._origin.release(self._hold)
            received = b""
            while chunk := opened.recv(65536):
                received += chunk
        assert received.startswith(b"HTTP/1.1 200 "), received
        assert received.endswith(b"at last"), received
        assert process.wait(PATIENCE) == 0

    def _answer(self, request: OriginRequest) -> OriginResponse:
        if request.target.startswith("/slow/"):
            return OriginResponse(content=b"at last", wait=self._hold)
        return OriginResponse(content=b"from the app")


def statuses(pid: int) -> list[str]:
    """Return the lines of /proc/N/status of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children, "no worker"
    files = [Path(f"/proc/{number}/status") for number in (str(pid), *children)]
    return [line for file in files for line in file.read_text().splitlines()]


def allow_low_ports() -> None:
    """Do what Docker does in the network namespace of every container."""
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")


def says_why_without_either(container: Container) -> None:
    """Without the capability and the sysctl it must end, and say what to do."""
    ended = subprocess.run(
        container.command("foregate", "run", capabilities=NO_CAPABILITY),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1, ended
    assert "no permission for port 80" in ended.stderr, ended.stderr
    print(f"without capability and sysctl: {ended.stderr.strip()}")


def shows_itself(container: Container) -> None:
    """Run the demo, which needs a folder for temporary files."""
    mount("-t", "tmpfs", "tmpfs", str(container.root / "tmp"))
    ended = container.run("foregate", "demo", "--once")
    assert ended.returncode == 0, ended
    print("foregate demo --once: all shown")


def main(arguments: Sequence[str]) -> int:
    """Try one root file system with the settings of its image; return the exit status."""
    root, settings = Path(arguments[0]), json.loads(arguments[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with running_origin() as origin:
        container = Container(root, settings)
        # The three lines of the README, for a name that the local CA serves.
        container.prepare(f'[[site]]\ndomains = ["{DOMAIN}"]\nupstream = "{origin.url}"\n')
        print(container.run("foregate", "--version").stdout.strip())
        scene = Scene(container, origin)
        scene.serves_and_drains(BIND_ALONE, confined=False)
        says_why_without_either(container)
        allow_low_ports()
        scene.serves_and_drains(NO_CAPABILITY, confined=True)
        shows_itself(container)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
