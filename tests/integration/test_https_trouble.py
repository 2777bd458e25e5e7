"""A CA that is away, a storage that is damaged or taken away: what exists is served, what is wrong is said."""

import shutil
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.https import NO_CA, PATIENCE, IssuingCa, Visitor, https_configuration, site
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

HOLD = 5.0


def test_without_a_ca_what_exists_is_served_and_new_names_fail_clearly(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa, tmp_path: Path
) -> None:
    """Recovery takes a minute at least: `campaigns/certificates.py` waits for it."""
    kept = {"storage": str(tmp_path / "kept"), "workers": 1}
    old, new = (site(name, upstream=origin.url) for name in ("old.test", "new.test"))
    first = start_foregate(issuing_ca.configuration(old, **kept), environ=issuing_ca.environ)
    first.wait_listening()
    roots = issuing_ca.ca.root_pem()
    assert Visitor(first.address("https"), roots).get("old.test").status == 200
    first.terminate()

    hold = f'hold = "{HOLD}s"'
    config = issuing_ca.configuration(old + new, **kept, tls=hold).replace(issuing_ca.ca.directory, NO_CA)
    # The same CA by another address: what it has issued would be replaced, as far as that can be had.
    gate = start_foregate(config, environ=issuing_ca.environ)
    gate.storage = tmp_path / "kept"
    gate.wait_listening()
    browser = Visitor(gate.address("https"), roots)
    with ThreadPoolExecutor(10) as clients:
        ends = list(clients.map(lambda _: end_of_handshake(browser, "new.test"), range(10)))
    assert {reason for reason, _ in ends} == {"TLSV1_ALERT_INTERNAL_ERROR"}
    assert max(seconds for _, seconds in ends) < HOLD + PATIENCE
    assert browser.get("old.test").status == 200
    line = gate.wait("certificate problem", name="new.test")[0]
    assert line["reason"] == "ca-unreachable"
    assert line["problem"].endswith("it is tried again by itself.")
    shown = gate.command("status").stdout
    assert line["problem"] in shown
    rows = {row["name"]: row for row in gate.admin("GET", "/api/v1/certificates")[1]["certificates"]}
    assert rows["new.test"]["next_attempt"] is not None
    assert gate.get("/", Host="new.test")[0] == 307
    assert gate.get("/", Host="old.test")[0] == 308
    ended = gate.command("certs", "renew", "new.test")
    assert (ended.returncode, line["problem"] in ended.stderr) == (1, True)
    ended = gate.command("diagnose", "new.test")
    assert (ended.returncode, line["problem"].split(". ")[0] in ended.stdout) == (1, True)


def end_of_handshake(browser: Visitor, name: str) -> tuple[str, float]:
    """Return the alert that a handshake ends with, and how many seconds that took."""
    begun = time.monotonic()
    with pytest.raises(ssl.SSLError) as caught:
        browser.connect(name)
    return caught.value.reason, time.monotonic() - begun


def test_damage_to_the_storage_is_healed_and_told(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa, tmp_path: Path
) -> None:
    storage = tmp_path / "kept"
    config = issuing_ca.configuration(
        site("heal.test", upstream=origin.url),
        workers=1,
        storage=str(storage),
    )
    gate = start_foregate(config, environ=issuing_ca.environ)
    gate.storage = tmp_path / "kept"
    gate.wait_listening()
    browser = Visitor(gate.address("https"), issuing_ca.ca.root_pem())
    first = browser.get("heal.test")
    current = storage / "certificates" / "heal.test" / "current"
    current.write_bytes(b"")
    assert browser.get("heal.test").certificate == first.certificate
    assert gate.command("certs", "renew", "heal.test").returncode == 0
    (line,) = gate.wait("certificate problem", reason="store-damaged")
    assert str(current) in line["detail"]
    second = browser.get("heal.test")
    assert second.certificate != first.certificate
    assert list(current.parent.glob("current.corrupt-*"))

    for folder in storage.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    assert browser.get("heal.test").certificate == second.certificate
    assert gate.command("certs", "renew", "heal.test").returncode == 0
    assert current.stat().st_mode & 0o777 == 0o600
    assert browser.get("heal.test").status == 200


def test_what_stands_in_the_way_in_the_storage_is_moved_aside(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    storage = tmp_path / "kept"
    storage.mkdir()
    (storage / "certificates").write_text("not a folder")
    (storage / "locks").symlink_to("/proc/self")
    dev = site("dev.test", upstream=origin.url, more='tls = { mode = "self-signed" }')
    gate = start_foregate(https_configuration(dev, workers=1, storage=str(storage)))
    gate.wait("certificate in use")
    root = (storage / "local-ca" / "root.pem").read_bytes()
    assert Visitor(gate.address("https"), root).get("dev.test").status == 200
    assert sorted(path.name.partition(".corrupt-")[0] for path in storage.glob("*.corrupt-*")) == [
        "certificates",
        "locks",
    ]
