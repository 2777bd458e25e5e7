"""Certificates from files: taken up when they change, a wrong pair never; and all modes side by side."""

import ssl
from pathlib import Path

import pytest

from tests.fakes.foregate import Foregate
from tests.fakes.https import Visitor, https_configuration, refused, site
from tests.fakes.origin import Origin
from tests.fakes.root_ca import TestCa
from tests.integration.conftest import StartForegate


class Pair:
    """The certificate files of one site, written in one step each, as certbot and others do."""

    def __init__(self, folder: Path, ca: TestCa, name: str = "own.test") -> None:
        self.ca = ca
        self.name = name
        self.certificate, self.key = folder / "own.pem", folder / "own.key"

    @property
    def tls(self) -> str:
        return f'tls = {{ mode = "files", certificate = "{self.certificate}", private_key = "{self.key}" }}'

    def issue(self) -> None:
        """Write a new pair."""
        key, chain = self.ca.issue([self.name])
        self.write(chain, key)

    def write(self, chain: bytes, key: bytes) -> None:
        for path, content in ((self.certificate, chain), (self.key, key)):
            path.with_suffix(".new").write_bytes(content)
            path.with_suffix(".new").replace(path)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    pair = Pair(tmp_path, TestCa())
    pair.issue()
    return pair


def certificate(gate: Foregate) -> dict[str, object]:
    _, document = gate.admin("GET", "/api/v1/certificates")
    (row,) = document["certificates"]
    assert isinstance(row, dict)
    return row


def test_new_files_are_taken_up_and_a_wrong_pair_is_not(
    start_foregate: StartForegate, origin: Origin, pair: Pair
) -> None:
    gate = start_foregate(https_configuration(site(pair.name, upstream=origin.url, more=pair.tls)))
    gate.wait_serving(2)
    browser = Visitor(gate.address("https"), pair.ca.root_pem)
    first = browser.get(pair.name)
    assert first.status == 200

    _, chain = pair.ca.issue([pair.name])
    pair.write(chain, pair.key.read_bytes())  # the key of the former certificate
    (line,) = gate.wait("certificate problem", reason="file-unusable")
    assert line["problem"].startswith(
        f"{pair.certificate} and {pair.key} cannot be served: the private key does not belong to the certificate. "
    )
    assert browser.get(pair.name).certificate == first.certificate
    assert certificate(gate)["state"] == "valid"
    labels = (("name", pair.name), ("reason", "file-unusable"))
    assert gate.metrics()["foregate_certificate_last_problem", labels] == 1
    ended = gate.command("check")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the private key does not belong to the certificate" in ended.stderr

    pair.issue()
    assert gate.command("reload").returncode == 0  # reads the files at once
    gate.wait("certificate in use", 2)
    second = browser.get(pair.name)
    assert ssl.DER_cert_to_PEM_cert(second.certificate).encode() in pair.certificate.read_bytes()
    assert certificate(gate)["problem"] is None
    assert gate.command("certs", "renew", pair.name).returncode == 1


def test_the_redirect_lasts_from_the_first_certificate_on(
    start_foregate: StartForegate, origin: Origin, pair: Pair
) -> None:
    key = pair.key.read_bytes()
    pair.issue()
    pair.write(pair.certificate.read_bytes(), key)
    gate = start_foregate(https_configuration(site(pair.name, upstream=origin.url, more=pair.tls), workers=1))
    gate.wait_serving(1)
    assert gate.get("/", Host=pair.name)[0] == 307
    with refused("TLSV1_ALERT_INTERNAL_ERROR"):
        Visitor(gate.address("https"), pair.ca.root_pem).connect(pair.name)
    pair.issue()
    assert gate.command("reload").returncode == 0
    assert Visitor(gate.address("https"), pair.ca.root_pem).get(pair.name).status == 200
    assert gate.get("/", Host=pair.name)[0] == 308


def test_all_modes_side_by_side_and_changed_by_a_reload(
    start_foregate: StartForegate, origin: Origin, pair: Pair
) -> None:
    def sites(dev: str) -> str:
        text = site(pair.name, upstream=origin.url, more=pair.tls)
        text += site("dev.test", upstream=origin.url, more=dev)
        return text + site("plain.test", upstream=origin.url, more='tls = { mode = "off" }')

    gate = start_foregate(https_configuration(sites('tls = { mode = "self-signed" }')))
    gate.wait_serving(2)
    gate.wait("certificate in use", name="dev.test")
    root = (gate.storage / "local-ca" / "root.pem").read_bytes()
    browser = Visitor(gate.address("https"), pair.ca.root_pem + root)
    assert {browser.get(name).status for name in (pair.name, "dev.test")} == {200}
    with refused("TLSV1_UNRECOGNIZED_NAME"):
        browser.connect("plain.test")
    assert gate.get("/", Host="plain.test")[0] == 200

    gate.file.write_text(https_configuration(sites('tls = { mode = "off" }')))
    assert gate.command("reload").returncode == 0
    with refused("TLSV1_UNRECOGNIZED_NAME"):
        browser.connect("dev.test")
    assert gate.get("/", Host="dev.test")[0] == 200
    assert browser.get(pair.name).status == 200


def test_without_a_managed_certificate_autocert_is_not_even_loaded(
    start_foregate: StartForegate, origin: Origin, pair: Pair
) -> None:
    gate = start_foregate(https_configuration(site(pair.name, upstream=origin.url, more=pair.tls), workers=1))
    gate.wait_serving(1)
    assert Visitor(gate.address("https"), pair.ca.root_pem).get(pair.name).status == 200
    assert sorted(path.name for path in gate.storage.iterdir()) == ["admin.sock"]
