"""Kill a process at any moment of an instance's life, and start the next instance on what is left of it.

`python -m tests.campaigns.sudden_ends [ROUNDS] [SEED]` (100 by default): in each round an instance with two workers,
http and https starts on the ports and the storage of the one before. While it starts, serves, reloads, is upgraded or
stops, one of its processes is killed with SIGKILL: in half of the cases the supervisor, else a worker or whatever else
there is. After a worker's end requests must be answered; then the supervisor is killed, too. Passes when every instance
serves that gets the time to, the certificate stays the one that was first stored, no process outlives its
successor's start for long, and the storage in the end holds what it holds after a run without any accident.
"""

import contextlib
import logging
import os
import random
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fakes.foregate import PATIENCE, ROOT, Foregate, configuration
from tests.fakes.origin import running_origin

MOMENTS: Final = ("start", "serving", "reload", "upgrade", "stop")
#: Seconds within which the kill comes: about as long as a start takes, and as the other deeds.
WITHIN: Final = {"start": 1.5, "serving": 0.1, "reload": 0.3, "upgrade": 1.5, "stop": 0.2}
HOST: Final = "a.test"
DUE: Final = b"hello from the origin"


@dataclass
class Outcome:
    """How often what was killed at which moment, and what went wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def configured(url: str, http: int, https: int, ttl: str = "0s") -> str:
    """Write the configuration."""
    text = configuration(
        url, server="redirect_https = false", tables=f'[cache]\nttl = "{ttl}"', http=[f"127.0.0.1:{http}"]
    )
    text = text.replace("https = []", f'https = ["127.0.0.1:{https}"]').replace('"*"', f'"{HOST}"')
    return text.replace('mode = "off"', 'mode = "self-signed"')


def processes(pid: int) -> list[int]:
    """Return a process and all that it has started and they have."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return found


def free_port(draw: random.Random) -> int:
    """Choose a port that no client's connection is given between two instances, as the system's own choice may be."""
    while True:
        port = draw.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Campaign:
    """One run, on one storage."""

    def __init__(self, folder: Path, url: str, draw: random.Random) -> None:
        self._folder, self._url, self._draw = folder, url, draw
        self._ports = free_port(draw), free_port(draw)
        self._certificate = b""
        self.outcome = Outcome()

    def run(self, rounds: int) -> Outcome:
        """Kill so many, and look at what a last one makes of it."""
        with self._instance() as first:
            first.wait("certificate in use")  # and so it is stored, and its CA's root is
            self._look("the first", first)
            first.terminate()
        due = self._stored()
        former = contextlib.ExitStack()
        for number in range(rounds):
            with former, contextlib.ExitStack() as this:
                self._round(number, this.enter_context(self._instance()), this)
                following = this.pop_all()
            former = following  # its remains stay until the next one has had its round
        former.close()
        with self._instance() as last:
            self._look("the last", last)
            if last.terminate():
                self.outcome.wrong.append("the last did not stop in order")
        if self._stored() != due:
            self.outcome.wrong.append(f"stored: {sorted(self._stored() ^ due)}")
        return self.outcome

    @contextlib.contextmanager
    def _instance(self) -> Iterator[Foregate]:
        gate = Foregate(self._folder, configured(self._url, *self._ports))
        try:
            yield gate
        finally:
            gate.close()

    def _stored(self) -> set[str]:
        storage = self._folder / "storage"
        return {str(path.relative_to(storage)) for path in storage.rglob("*")}

    def _round(self, number: int, gate: Foregate, ending: contextlib.ExitStack) -> None:
        moment = self._draw.choice(MOMENTS)
        if moment != "start":
            self._look(f"round {number}", gate)
            self._do(moment, gate, ending)
        time.sleep(self._draw.random() * WITHIN[moment])
        supervisor, *others = processes(gate.process.pid)
        for pid in others:
            ending.callback(self._wait_gone, number, os.pidfd_open(pid))
        victim = self._draw.choice(others) if others and self._draw.random() < 0.5 else supervisor
        self.outcome.kills[f"{moment}: {'supervisor' if victim == supervisor else 'other'}"] += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim != supervisor and moment != "stop":
            self._look(f"round {number}, after {moment}", gate)
        gate.process.kill()
        gate.process.wait(PATIENCE)

    def _do(self, moment: str, gate: Foregate, ending: contextlib.ExitStack) -> None:
        if moment == "reload":
            gate.file.write_text(configured(self._url, *self._ports, self._draw.choice(("1s", "2s"))))
            gate.signal(signal.SIGHUP)
        elif moment == "stop":
            gate.signal(signal.SIGTERM)
        elif moment == "upgrade":
            command = [sys.executable, "-m", "proxy", "upgrade", "--config", str(gate.file)]
            upgrade = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            ending.callback(upgrade.wait, PATIENCE)

    def _look(self, when: str, gate: Foregate) -> None:
        """Ask over http and https; keep or compare the certificate."""
        try:
            gate.wait_serving(1)
            answers = [gate.get("/", Host=HOST)[1], self._ask_securely()]
        except (OSError, AssertionError) as error:
            self.outcome.wrong.append(f"{when}: {error!r}")
            return
        if answers[0] != DUE or not answers[1].endswith(DUE):
            self.outcome.wrong.append(f"{when}: {answers}")
        stored = (gate.storage / "certificates" / HOST / "current").read_bytes()
        if self._certificate not in (b"", stored):
            self.outcome.wrong.append(f"{when}: another certificate")
        self._certificate = stored

    def _ask_securely(self) -> bytes:
        context = ssl.create_default_context(cafile=self._folder / "storage" / "local-ca" / "root.pem")
        with (
            socket.create_connection(("127.0.0.1", self._ports[1]), PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=HOST) as client,
        ):
            client.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: client.recv(65536), b""))

    def _wait_gone(self, number: int, descriptor: int) -> None:
        try:
            if not select.select([descriptor], [], [], PATIENCE)[0]:
                self.outcome.wrong.append(f"round {number}: a process did not end")
        finally:
            os.close(descriptor)


def campaign(folder: Path, rounds: int, seed: int) -> Outcome:
    """Run it."""
    with running_origin() as origin:
        return Campaign(folder, origin.url, random.Random(seed)).run(rounds)


def main(rounds: int = 100, seed: int = 1) -> int:
    """Run it and say what came of it."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        outcome = campaign(Path(folder), rounds, seed)
    print(f"{rounds} rounds, seed {seed}: {dict(sorted(outcome.kills.items()))}")
    print(f"{len(outcome.wrong)} wrong")
    print(*outcome.wrong[:30], sep="\n")
    return bool(outcome.wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
