"""Send a corpus of hostile and odd HTTP/1.1 through a real Foregate: .ci/corpus.py FOLDER

The folder holds raw_requests.py and raw_responses.py, each both client and strict origin, with gates of their
own, and the cases in requests.json and responses.json. Exit status 1 when one of the gates fails.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.processes import BenchError, Server, free_port

HOST = "example.test"
FOREGATE = str(Path(sys.executable).with_name("foregate"))
REQUESTS = ("raw_requests.py", "requests.json", "--witness-port")
RESPONSES = ("raw_responses.py", "responses.json", "--origin-port")
# What each run adds to the script's arguments; the last two only with TLS.
RUNS: tuple[tuple[str, tuple[str, str, str], tuple[str, ...]], ...] = (
    ("requests", REQUESTS, ()),
    ("requests, an octet per packet", REQUESTS, ("--split", "1")),
    ("responses", RESPONSES, ()),
    ("requests over TLS", REQUESTS, ("--tls", "--sni", HOST)),
    ("responses over TLS", RESPONSES, ("--tls", "--sni", HOST)),
)

CONFIGURATION = """\
[server]
http = ["127.0.0.1:{http}"]
https = {https}
metrics = ""
workers = 1
redirect_https = false
[tls]
mode = "{mode}"
storage = "ssl_data"
[log]
access = "off"
[rate_limit]
rate = "off"
[cache]
ttl = "0s"
[[site]]
domains = ["*"]
upstream = "http://127.0.0.1:{origin}"
"""


def _configure(folder: Path, ports: dict[str, int], *, tls: bool) -> Path:
    path = folder / "proxy.toml"
    https = f'["127.0.0.1:{ports["https"]}"]' if tls else "[]"
    path.write_text(
        CONFIGURATION.format(
            http=ports["http"], https=https, origin=ports["origin"], mode="self-signed" if tls else "off"
        )
    )
    return path


def _speaks_tls(path: Path) -> bool:
    """Ask Foregate whether it can serve this file; faults other than "not built yet" show at its start."""
    checked = subprocess.run(
        [FOREGATE, "check", "-c", str(path)], capture_output=True, text=True, check=False
    )
    return "not built yet" not in checked.stdout + checked.stderr


def _run_all(corpus: Path, ports: dict[str, int], *, tls: bool) -> list[str]:
    """Run the scripts one after the other; return the names of those whose gate failed."""
    failed = []
    for name, (script, cases, origin), extra in RUNS:
        secure = "--tls" in extra
        if secure and not tls:
            print(f"--- {name}: Foregate does not serve https yet, left out", flush=True)
            continue
        print(f"--- {name}", flush=True)
        command = [sys.executable, str(corpus / script), str(corpus / cases), "--host", HOST, *extra]
        command += [
            "--proxy",
            f"127.0.0.1:{ports['https' if secure else 'http']}",
            origin,
            str(ports["origin"]),
        ]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    return failed


def main(arguments: Sequence[str]) -> int:
    """Start Foregate in front of the scripts' own origin and run them."""
    corpus = Path(arguments[0])
    ports = {name: free_port() for name in ("http", "https", "origin")}
    with tempfile.TemporaryDirectory(prefix="foregate-corpus-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tls = _speaks_tls(_configure(folder, ports, tls=True))
        path = _configure(folder, ports, tls=tls)
        server = Server("foregate", [FOREGATE, "run", "-c", str(path)], folder)
        try:
            server.wait_until_listening(ports["http"])
            failed = _run_all(corpus, ports, tls=tls)
        except BenchError as exc:
            print(exc)
            return 1
        finally:
            server.stop()
        print("\n".join(server.log.read_text(errors="replace").splitlines()[-20:]))
    print(f"corpus: {'failed: ' + ', '.join(failed) if failed else 'all gates passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
