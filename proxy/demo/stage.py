"""The demo from beginning to end: an app, perhaps a CA, Foregate in front, what it shows, and the wait for the user.

Everything lives in a temporary folder, on the loopback interface, and ends with the demo. What is printed is what
was seen.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from proxy.config.loader import parse
from proxy.demo.app import running_app
from proxy.demo.errors import DemoError
from proxy.demo.pebble import TestCa, is_installed, running_pebble
from proxy.demo.ports import free_ports
from proxy.demo.scenes import Say, Stage, show
from proxy.demo.visitor import NAME, Visitor

_WISHED_PORTS: Final = (8080, 8443, 9145)
_START_SECONDS: Final = 60.0
_LOOK: Final = 0.05  # seconds
_LAST_LINES: Final = 15
_COMMAND: Final = (sys.executable, "-P", "-m", "proxy")
_LOG: Final = "foregate.log"

_CONFIGURATION: Final = """\
[server]
http = ["127.0.0.1:{http}"]
https = ["127.0.0.1:{https}"]
metrics = "127.0.0.1:{metrics}"
{user}
[tls]
storage = "ssl_data"
{tls}

[log]
access = "access.log"

[[site]]
domains = ["{name}"]
upstream = {app}
"""


def run_demo(say: Say, *, once: bool, own_app: str = "") -> None:
    """Show Foregate at work, and stay up until Ctrl-C or SIGTERM unless `once`.

    `own_app` is the URL of the user's own app, which then takes the place of the bundled one. Raises DemoError when
    a promise is not kept or something is missing on this machine, ConfigError when `own_app` is no upstream.
    """
    former = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with ExitStack() as ends:
            _perform(ends, _folder(ends), say, once, own_app)
    except KeyboardInterrupt:
        say("")
    except OSError as exc:
        raise DemoError(f"{exc.strerror or exc}: {exc.filename or 'on the loopback interface'}") from exc
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _folder(ends: ExitStack) -> Path:
    try:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="foregate-demo-")))
    except FileNotFoundError as exc:
        raise DemoError("no folder for temporary files can be written to; name one in $TMPDIR") from exc
    folder.chmod(0o755)
    return folder


def _perform(ends: ExitStack, folder: Path, say: Say, once: bool, own_app: str) -> None:
    app = own_app or f"http://127.0.0.1:{ends.enter_context(running_app())}"
    http, https, metrics = free_ports(*_WISHED_PORTS)
    ca = _ca(ends, folder / "pebble", http, say)
    file = folder / "proxy.toml"
    file.write_text(_configuration(ca, app, http, https, metrics))
    parse(file.read_bytes(), path=str(file), environ={})
    say(f"$ foregate run -c {file}\n\n{file.read_text()}")
    process = ends.enter_context(_running_foregate(file))
    root, issuer = _root(folder, ca)
    _await(process, folder / _LOG, lambda: _is_ready(metrics) and root.exists())
    stage = Stage(http, https, metrics, ssl.create_default_context(cafile=str(root)), issuer, own_app)
    try:
        show(stage, say)
    except (DemoError, OSError) as exc:
        raise DemoError(f"{exc}\n{_tail(folder / _LOG)}") from exc
    if once:
        return
    say(f"\nYours to try, until Ctrl-C:\n  curl --cacert {root} https://{NAME}:{https}/")
    say(f"  https://{NAME}:{https}/ in a browser, which will warn of an issuer that it does not know")
    say(f"  http://{NAME}:{metrics}/metrics")
    for command in ("status", "certs list", "reload"):
        say(f"  {_program()} {command} -c {file}")
    say(f"Change {file} and reload; logs: {folder}/*.log")
    if process.wait():
        raise DemoError(f"foregate run ended with status {process.returncode}\n{_tail(folder / _LOG)}")


def _ca(ends: ExitStack, folder: Path, challenge_port: int, say: Say) -> TestCa | None:
    """Start a CA if there is one; None: Foregate's own will do."""
    if not is_installed():
        return None
    try:
        return ends.enter_context(running_pebble(folder, challenge_port))
    except DemoError as exc:
        say(f"Going on without Pebble: {exc}\n")
        return None


def _configuration(ca: TestCa | None, app: str, http: int, https: int, metrics: int) -> str:
    tls = 'mode = "self-signed"'
    if ca is not None:
        tls = f'directory = "{ca.directory}"\nca_file = "{ca.ca_file}"'
    # Root may have installed where nobody else may read: the workers then keep the user of this demo.
    user = "" if os.geteuid() else 'user = "root"\n'
    return _CONFIGURATION.format(
        http=http, https=https, metrics=metrics, user=user, tls=tls, name=NAME, app=json.dumps(app)
    )


def _root(folder: Path, ca: TestCa | None) -> tuple[Path, str]:
    """Return the file with the root to be trusted, and whose it is; a new local CA is still to write its own."""
    if ca is None:
        return folder / "ssl_data" / "local-ca" / "root.pem", "Foregate's local CA"
    file = folder / "pebble-root.pem"
    file.write_text(ca.root_pem)
    return file, "Pebble, a test CA, by ACME"


@contextmanager
def _running_foregate(file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (file.parent / _LOG).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 (our own program)
            [*_COMMAND, "run", "-c", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _await(process: "subprocess.Popen[bytes]", log: Path, has_come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"foregate run ended with status {process.returncode}\n{_tail(log)}")
        if has_come():
            return
        time.sleep(_LOOK)
    raise DemoError(f"foregate run was not ready within {_START_SECONDS:.0f} s\n{_tail(log)}")


def _is_ready(metrics: int) -> bool:
    try:
        with Visitor(metrics) as visitor:
            return visitor.get("/readyz").status == 200
    except OSError:
        return False  # it does not listen yet


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])


def _program() -> str:
    """Return how the user can call this program."""
    script = Path(sys.executable).with_name("foregate")
    if not script.exists() or shutil.which("foregate") == str(script):
        return "foregate"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)
