"""Send a corpus of hostile and odd HTTP/1.1 through a real Foregate.

The folder holds raw_requests.py and raw_responses.py, each both client and strict origin, with gates of their
own, and the cases in requests.json and responses.json. Exit status 1 when one of the gates fails.
"""

from __future__ import annotations

import argparse
import getpass
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from bench.processes import BenchError, Server, free_port

HOST = "example.test"
FOREGATE = str(Path(sys.executable).with_name("foregate"))
REQUESTS = ("raw_requests.py", "requests.json", "--witness-port")
RESPONSES = ("raw_responses.py", "responses.json", "--origin-port")
# By name: script, cases, the name of its option for the origin's port; and what the run adds to the arguments.
RUNS: dict[str, tuple[tuple[str, str, str], tuple[str, ...]]] = {
    "requests": (REQUESTS, ()),
    "requests, an octet per packet": (REQUESTS, ("--split", "1")),
    "responses": (RESPONSES, ()),
    "requests over TLS": (REQUESTS, ("--tls", "--sni", HOST)),
    "responses over TLS": (RESPONSES, ("--tls", "--sni", HOST)),
}

CONFIGURATION = """\
[server]
http = ["127.0.0.1:{http}"]
https = {https}
metrics = ""
workers = 1
redirect_https = false
user = "{user}"
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
            http=ports["http"],
            user=getpass.getuser(),
            https=https,
            origin=ports["origin"],
            mode="self-signed" if tls else "off",
        )
    )
    return path


def _await_answer(port: int) -> None:
    """Wait for a worker's first answer, whatever it is: nobody listens as the app yet."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request("GET", "/", headers={"Connection": "close"})
        connection.getresponse().read()


def _run(corpus: Path, ports: dict[str, int], name: str, *more: str) -> bool:
    """Run one script; say whether its gate held."""
    (script, cases, origin), extra = RUNS[name]
    print(f"--- {name}", flush=True)
    proxy = ports["https" if "--tls" in extra else "http"]
    command = [sys.executable, str(corpus / script), str(corpus / cases), *extra, *more]
    command += ["--proxy", f"127.0.0.1:{proxy}", origin, str(ports["origin"])]
    return subprocess.run(command, check=False).returncode == 0


def _holds(corpus: Path, ports: dict[str, int], name: str) -> bool:
    """Say whether a gate holds; the second time with the seconds that a busy machine may need for an answer."""
    patient = ("--idle", "1") if RUNS[name][0] is REQUESTS else ()
    return _run(corpus, ports, name) or _run(corpus, ports, name, *patient)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start Foregate in front of the scripts' own origin and run them."""
    parser = argparse.ArgumentParser(prog=".ci/corpus.py", description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--tls", action="store_true", help="over TLS as well")
    options = parser.parse_args(arguments)
    ports = {name: free_port() for name in ("http", "https", "origin")}
    with tempfile.TemporaryDirectory(prefix="foregate-corpus-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = _configure(folder, ports, tls=options.tls)
        server = Server("foregate", [FOREGATE, "run", "-c", str(path)], folder)
        try:
            server.wait_until_listening(ports["http"])
            _await_answer(ports["http"])  # the sockets are there before the workers
            failed = [
                run
                for run in RUNS
                if (options.tls or "TLS" not in run) and not _holds(options.corpus, ports, run)
            ]
        except (BenchError, OSError) as exc:
            print(exc)
            return 1
        finally:
            server.stop()
        if failed:
            print(
                "The end of Foregate's log:",
                *server.log.read_text(errors="replace").splitlines()[-20:],
                sep="\n",
            )
    print(f"corpus: {'failed: ' + ', '.join(failed) if failed else 'all gates held'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
