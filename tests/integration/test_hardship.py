"""What is scarce or gone: descriptors, memory, stdout, disk, DNS. It goes on serving, and says what is wrong."""

import os
import resource
import signal
import socket
import subprocess
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.fakes.foregate import PATIENCE, RUN, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate
from tests.integration.test_processes import EVERY_REQUEST

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def under(script: str) -> tuple[str, ...]:
    """Let a shell prepare what the process starts with."""
    return ("/bin/sh", "-c", f'{script} exec "$0" "$@"', *RUN)


@cache
def own_mounts() -> tuple[str, ...]:
    """Return what gives a command mount points of its own, as root or as a user who is root there."""
    options = ("--mount",) if os.geteuid() == 0 else ("--mount", "--map-root-user")
    command = ("unshare", *options)
    subprocess.run([*command, "true"], check=True)
    return command


class SmallDisk:
    """A disk of 512 KB at `path`; `spoil` lets an accident happen to it."""

    def __init__(self, folder: Path, accident: str) -> None:
        """Let `accident` be the command that happens, with the disk as its folder."""
        self._trigger, self._answer = folder / "trigger", folder / "answer"
        os.mkfifo(self._trigger)
        os.mkfifo(self._answer)
        self.path = disk = folder / "disk"
        disk.mkdir()
        self.command = (
            *own_mounts(),
            "sh",
            "-c",
            f"mount -t tmpfs -o size=512k,mode=700 tmpfs {disk} && "
            f"(read _ <{self._trigger}; cd {disk}; {accident} >/dev/null 2>&1; echo $? >{self._answer}) & "
            f'exec "$0" "$@"',
            *RUN,
        )

    def spoil(self) -> None:
        self._trigger.write_text("now\n")
        self._answer.read_text()


def on(disk: SmallDisk, text: str) -> str:
    """Let a configuration's storage be on a disk."""
    return text.replace('storage = "storage"', f'storage = "{disk.path}"')


def test_a_disk_that_fills_up_costs_log_lines_and_what_would_be_saved(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    disk = SmallDisk(tmp_path, "dd if=/dev/zero of=fill bs=4k")
    text = configuration(origin.url, workers=1, tables=EVERY_REQUEST)
    text = on(disk, text).replace('level = "debug"', f'level = "debug"\naccess = "{disk.path}/access.log"')
    gate = start_foregate(text, command=disk.command)
    gate.wait_serving(1)
    disk.spoil()
    path = "/" + "x" * 4000  # a line of it needs a new page of the disk
    assert [gate.get(path)[0] for _ in range(5)] == [200] * 5
    gate.wait_some("foregate_log_lines_dropped_total")
    gate.file.write_text(text.replace('ttl = "0s"', 'ttl = "1s"'))
    gate.signal(signal.SIGHUP)
    gate.wait("configuration reloaded", trigger="SIGHUP")
    assert gate.get("/")[0] == 200
    assert gate.terminate() == 0
    gate.wait("cannot save the rate limits")
    assert gate.unstructured == []


def test_a_disk_that_becomes_read_only_stops_nothing(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    disk = SmallDisk(tmp_path, f"cd /; mount -o remount,ro {tmp_path}/disk")
    text = on(disk, configuration(origin.url, workers=1, tables=EVERY_REQUEST))
    gate = start_foregate(text, command=disk.command)
    gate.wait_serving(1)
    disk.spoil()
    gate.signal(signal.SIGHUP)
    gate.wait("configuration reloaded", trigger="SIGHUP")
    assert gate.get("/")[0] == 200
    assert gate.terminate() == 0
    gate.wait("cannot save the rate limits")
    gate.wait("ended")
    assert gate.unstructured == []


def test_a_configuration_file_that_is_mounted_alone_is_warned_about(
    start_foregate: StartForegate, tmp_path: Path
) -> None:
    file = tmp_path / "foregate0" / "proxy.toml"
    command = (*own_mounts(), "sh", "-c", f'mount --bind {file} {file} && exec "$0" "$@"', *RUN)
    gate = start_foregate(configuration("http://127.0.0.1:9", workers=1), command=command)
    cure = "a replaced configuration file will not be noticed: mount its folder instead of the file"
    assert [line["file"] for line in gate.wait(cure)] == [str(file)]
    gate.wait_serving(1)
    text = configuration("http://127.0.0.1:9", workers=2)
    file.write_text(text)  # in place, as `sed -i` would not: this is seen
    assert gate.command("reload").returncode == 0
    # Where the command is slow to start, the file's watch comes first.
    assert gate.wait("configuration reloaded")[0]["changes"] == ["server.workers: 1 -> 2"]


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ('storage = "/proc/foregate"', "cannot use the storage /proc/foregate"),
        ('access = "/proc/foregate.log"', "cannot write the access log /proc/foregate.log"),
    ],
)
def test_what_cannot_be_written_at_the_start_is_named(
    start_foregate: StartForegate, key: str, fault: str
) -> None:
    place = 'storage = "storage"' if key.startswith("storage") else 'level = "debug"'
    gate = start_foregate(configuration("http://127.0.0.1:9").replace(place, key))
    assert gate.wait_exit() == 1
    assert any(fault in line for line in gate.unstructured), gate.text


def test_a_worker_that_cannot_open_the_log_serves(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    text = configuration(origin.url, workers=1, tables=EVERY_REQUEST)
    gate = start_foregate(text.replace('level = "debug"', f'level = "debug"\naccess = "{folder}/access.log"'))
    gate.wait_serving(1)
    folder.rename(tmp_path / "elsewhere")
    gate.signal(signal.SIGUSR1)
    gate.wait("cannot open the access log anew")
    (worker,) = gate.worker_pids()
    os.kill(worker, signal.SIGKILL)
    gate.wait("cannot open the access log: lines are dropped")
    gate.wait_serving(2)
    assert gate.get("/")[0] == 200
    gate.wait_metric(1, "foregate_log_lines_dropped_total")
    folder.mkdir()
    assert gate.get("/again")[0] == 200
    assert gate.terminate() == 0
    assert "/again" in (folder / "access.log").read_text()


def test_memory_that_is_not_to_be_had_refuses_a_reload(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1), command=under("ulimit -v 2000000;"))
    gate.wait_serving(1)
    gate.file.write_text(configuration(origin.url, workers=1, tables='[cache]\nsize = "8GB"'))
    ended = gate.command("reload")
    assert ended.returncode == 1
    assert 'there is no memory for [cache] size = "8GB"' in ended.stderr
    assert gate.get("/")[0] == 200
    assert gate.admin("GET", "/api/v1/cache")[1]["size_bytes"] == 64 * 1024 * 1024


def test_memory_that_is_not_to_be_had_at_the_start_is_named(start_foregate: StartForegate) -> None:
    text = configuration("http://127.0.0.1:9", tables='[cache]\nsize = "8GB"')
    gate = start_foregate(text, command=under("ulimit -v 2000000;"))
    assert gate.wait_exit() == 1
    assert gate.unstructured[-1].startswith('foregate: there is no memory for [cache] size = "8GB": ')
    assert not (gate.storage / "admin.sock").exists()


@pytest.mark.parametrize("closing", ["exec >&- <&-;", "exec >/dev/full;"])
def test_without_a_stdout_requests_are_served(
    start_foregate: StartForegate, origin: Origin, closing: str
) -> None:
    gate = start_foregate(configuration(origin.url), command=under(closing))
    gate.wait_serving(2)
    assert [gate.get("/")[0] for _ in range(5)] == [200] * 5
    assert gate.terminate() == 0
    assert gate.unstructured == []


def test_when_descriptors_run_out_it_recovers(start_foregate: StartForegate, origin: Origin) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 600 or hard > 600
    gate = start_foregate(
        configuration(origin.url, workers=1, tables=EVERY_REQUEST), command=under("ulimit -n 128;")
    )
    gate.wait_serving(1)
    with ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(socket.create_connection(("127.0.0.1", gate.port), PATIENCE))
    assert gate.get("/")[0] == 200
    assert gate.metric("foregate_worker_exits_total", reason="crashed") == 0
    assert gate.terminate() == 0


def test_an_app_whose_name_does_not_resolve_is_503_and_no_obstacle(start_foregate: StartForegate) -> None:
    gate = start_foregate(configuration("http://nowhere.invalid:3000", workers=1))
    gate.wait_serving(1)
    assert gate.get("/")[0] == 503
    assert gate.command("health").returncode == 0
    (upstream,) = gate.admin("GET", "/api/v1/upstreams")[1]
    assert (upstream["name"], upstream["addresses"]) == ("nowhere.invalid", [])
    assert upstream["fault"]
