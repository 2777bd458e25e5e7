"""The storage belongs to whom Foregate runs as, whoever has started it, also where a site has its own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.supervisor.processes import installation
from tests.fakes.https import Visitor, https_configuration, site
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

NOBODY = 65534
IS_ROOT = os.geteuid() == 0
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def nobody_can_run_it() -> bool:
    """Tell whether user nobody could run what is installed here; only root can find out."""
    tests = [["test", "-r", str(path)] for path in installation()]
    return IS_ROOT and all(subprocess.run([*AS_NOBODY, *test], check=False).returncode == 0 for test in tests)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that everybody can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_is_stored_belongs_to_the_user_that_runs(
    start_foregate: StartForegate, origin: Origin, open_folder: Path
) -> None:
    first, second = open_folder / "first", open_folder / "second"
    sites = site("one.test", upstream=origin.url, more='tls = { mode = "self-signed" }')
    sites += site(
        "two.test", upstream=origin.url, more=f'tls = {{ mode = "self-signed", storage = "{second}" }}'
    )
    gate = start_foregate(https_configuration(sites, workers=1, storage=str(first), server='user = ""'))
    if IS_ROOT and not nobody_can_run_it():
        assert gate.wait_exit() == 1
        assert gate.unstructured[0].startswith("foregate: user nobody cannot read ")
        return
    gate.wait("certificate in use", 2)
    roots = b"".join((storage / "local-ca" / "root.pem").read_bytes() for storage in (first, second))
    browser = Visitor(gate.address("https"), roots)
    assert {browser.get(name).status for name in ("one.test", "two.test")} == {200}
    user = NOBODY if IS_ROOT else os.geteuid()
    for storage in (first, second):
        for path in (storage, *storage.rglob("*")):
            found = path.lstat()
            assert (found.st_uid, found.st_mode & 0o077) == (user, 0), path
