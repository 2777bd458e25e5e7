"""Let a real browser do what browsers do, through Foregate, over https that it verifies.

`python -m tests.campaigns.browser` (Debian's `chromium` and `libnss3-tools`; ten seconds): headless Chromium with a
new profile, which trusts Foregate's local CA, is sent to the http port. The page that it gets
(`tests/apps/browser_page.html`) tries assets, caching, logins, writes, uploads, downloads, ranges, events, WebSockets,
a reload in between, and the limit; two workers, defaults but for assets without a limit. Passes when every check of the
page does and nothing was logged as an error. There is no short form: a browser is too much for the suite, which tests
each of these with clients of its own.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.fakes.apps import App, running_app, write_files
from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.ports import free_port

WORKERS: Final = 2
LIMIT: Final = 180.0  # seconds for all that the page does
LOOK: Final = 0.2  # seconds
_PACKAGES: Final = {"chromium": "chromium", "certutil": "libnss3-tools"}
_TABLES: Final = """[rate_limit]
exempt_paths = ["/assets/", "/report"]
"""
#: Without the second line it would look for its maker's services.
_OPTIONS: Final = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main() -> int:
    """Run the campaign; return the exit status."""
    if missing := [package for command, package in _PACKAGES.items() if shutil.which(command) is None]:
        print(f"wanted: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="foregate-browser-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        write_files(folder / "files")
        with running_app("page", folder / "files") as app:
            return _visit(folder, app)


def _visit(folder: Path, app: App) -> int:
    http_port, https_port = free_port(), free_port()
    text = configuration(app.origin, workers=WORKERS, tables=_TABLES, http=[f"127.0.0.1:{http_port}"])
    text = text.replace("https = []", f'https = ["127.0.0.1:{https_port}"]').replace('"off"', '"self-signed"')
    gate = Foregate(folder, text.replace('["*"]', '["localhost"]'))
    try:
        gate.wait_serving(WORKERS)
        _await(gate.storage / "local-ca" / "root.pem")
        with _browser(folder, gate.storage / "local-ca" / "root.pem", f"http://localhost:{http_port}/"):
            found = _report(gate, app)
        counted = _by_cache(gate)
        faults = [line for line in gate.log if line.get("level") in ("error", "critical")]
    finally:
        gate.close()
    return _tell(found, counted, faults)


def _await(file: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > ends:
            raise TimeoutError(f"no {file} within {PATIENCE:.0f} s")
        time.sleep(LOOK)


@contextmanager
def _browser(folder: Path, root: Path, url: str) -> Iterator[None]:
    """Let a browser that trusts this root visit the URL, until the block ends."""
    home = folder / "home"
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
    subprocess.run(
        ["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "foregate", "-i", str(root)], check=True
    )
    # Root's processes get no sandbox of Chromium's.
    sandbox = () if os.geteuid() else ("--no-sandbox",)
    with (folder / "browser.log").open("wb") as log:
        browser = subprocess.Popen(
            ["chromium", *_OPTIONS, *sandbox, f"--user-data-dir={home / 'profile'}", url],
            env={**os.environ, "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def _report(gate: Foregate, app: App) -> dict[str, list[Any]]:
    """Wait for what the page found; reload Foregate when the page asks for it."""
    with ThreadPoolExecutor(1) as beside:
        reloaded = beside.submit(_reload_when_asked, gate, app)
        ends = time.monotonic() + LIMIT
        while not (found := _ask(app, "GET", "/report")):
            if time.monotonic() > ends:
                raise TimeoutError(f"the page was not done within {LIMIT:.0f} s")
            time.sleep(LOOK)
        reloaded.result()
    return dict(found)


def _reload_when_asked(gate: Foregate, app: App) -> None:
    _ask(app, "GET", "/reload")
    gate.signal(signal.SIGHUP)
    gate.wait("configuration reloaded")
    _ask(app, "POST", "/reload")


def _ask(app: App, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=LIMIT)
    try:
        connection.request(method, path)
        content = connection.getresponse().read()
        return json.loads(content) if content else None
    finally:
        connection.close()


def _tell(found: dict[str, list[Any]], counted: dict[str, int], faults: list[dict[str, Any]]) -> int:
    for name, (outcome, seen) in found.items():
        print(f"{outcome:5}  {name}: {json.dumps(seen, ensure_ascii=False)}")
    wrong = sum(outcome != "ok" for outcome, _ in found.values())
    print(f"requests by cache: {counted}")
    print(f"{len(found)} checks, {wrong} wrong; {len(faults)} errors logged")
    for fault in faults:
        print(fault)
    return 1 if wrong or faults else 0


def _by_cache(gate: Foregate) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for (name, labels), value in gate.metrics().items():
        if name == "foregate_requests_total" and value:
            counted[dict(labels)["cache"]] += int(value)
    return dict(counted)


if __name__ == "__main__":
    sys.exit(main())
