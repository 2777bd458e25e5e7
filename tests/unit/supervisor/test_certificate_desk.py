"""What the operator is answered: documents, outcomes, diagnoses and metrics."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config.schema import Config, Site, Tls
from proxy.supervisor.certificate_desk import CertificateDesk
from proxy.supervisor.certificate_wishes import Probing
from proxy.supervisor.certificates import Certificates
from proxy.telemetry.metrics import CertificateObservation
from tests.fakes.observations import quiet_observation
from tests.fakes.root_ca import TestCa
from tests.fakes.worker_pool import NotedWorkers


@pytest.fixture
async def certificates() -> AsyncIterator[Certificates]:
    certificates = Certificates(NotedWorkers(), Probing(resolver="127.0.0.1:1", http_port=1))
    running = asyncio.create_task(certificates.run())
    yield certificates
    running.cancel()
    await certificates.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with a site of each mode."""
    storage = str(tmp_path / "storage")
    key, chain = TestCa().issue(["own.test"])
    (tmp_path / "own.pem").write_bytes(chain)
    (tmp_path / "own.key").write_bytes(key)
    files = (str(tmp_path / "own.pem"), str(tmp_path / "own.key"))
    tables = {
        "dev.test": Tls(mode="self-signed", storage=storage),
        "a.example.com": Tls(directory="https://127.0.0.1:1/dir", storage=storage),
        "own.test": Tls(mode="files", certificate=files[0], private_key=files[1], storage=storage),
        "plain.test": Tls(mode="off", storage=storage),
    }
    sites = (Site(domains=(name,), name=name, tls=tls) for name, tls in tables.items())
    return Config(sites=tuple(sites), tls=Tls(storage=storage))


@pytest.fixture
async def desk(certificates: Certificates, config: Config) -> CertificateDesk:
    """Return a desk when every certificate has come or failed to."""
    certificates.follow(config)
    desk = CertificateDesk(certificates)
    await certificates.applied.wait()
    keeper = certificates.keeper_of("dev.test")
    assert keeper is not None
    assert await keeper.wait_for("dev.test", 30.0) is None
    assert await keeper.wait_for("a.example.com", 30.0) is not None
    return desk


async def test_every_certificate_is_described(desk: CertificateDesk) -> None:
    document = desk.certificates()
    rows = document["certificates"]
    assert isinstance(rows, list)
    shown = [(row["name"], row["mode"], row["state"]) for row in rows]
    assert shown == [
        ("a.example.com", "acme", "backoff"),
        ("dev.test", "self-signed", "valid"),
        ("own.test", "files", "valid"),
    ]
    assert document["storage_problems"] == []
    problem = rows[0]["problem"]
    assert problem["reason"] == "ca-unreachable"
    assert problem["what_to_do"].endswith("it is tried again by itself.")
    assert rows[2]["renews_because"].endswith("own.pem changes")


async def test_metrics(desk: CertificateDesk) -> None:
    seen = {one.name: one for one in desk.complete(quiet_observation()).certificates}
    assert set(seen) == {"a.example.com", "dev.test", "own.test"}
    failing = seen["a.example.com"]
    assert (failing.state, failing.not_after, failing.reason) == ("backoff", None, "ca-unreachable")
    assert failing.next_attempt is not None
    assert seen["dev.test"].reason == ""
    failures = desk.complete(quiet_observation()).certificate_failures
    assert failures == {("a.example.com", "ca-unreachable"): 1}


async def test_removed_ones_are_shown_but_nobody_s_worry(
    desk: CertificateDesk, certificates: Certificates, config: Config
) -> None:
    left = Config(sites=tuple(site for site in config.sites if site.name != "dev.test"), tls=config.tls)
    certificates.follow(left)
    await certificates.applied.wait()
    assert {one.name for one in desk.complete(quiet_observation()).certificates} == {
        "a.example.com",
        "own.test",
    }
    assert certificates.rows()[-1].names == ("dev.test",)
    outcome = await desk.restore_certificate("dev.test")
    assert outcome.certificate is not None
    assert outcome.certificate["removed_at"] is not None
    assert await desk.diagnose("dev.test") is None
    assert not (await desk.renew_certificate("dev.test")).is_known


async def test_renew_and_restore(desk: CertificateDesk) -> None:
    outcome = await desk.restore_certificate("dev.test")
    assert (outcome.is_known, outcome.certificate) == (True, None)
    assert outcome.fault.startswith("There is no certificate of dev.test before")
    outcome = await desk.renew_certificate("dev.test")
    assert outcome.certificate is not None
    assert outcome.certificate["state"] == "valid"
    assert (await desk.restore_certificate("dev.test")).certificate is not None


async def test_what_cannot_be_renewed_says_why(desk: CertificateDesk) -> None:
    outcome = await desk.renew_certificate("a.example.com")
    assert outcome.is_known
    assert outcome.fault.startswith("the CA 127.0.0.1 cannot be reached.")
    for ask in (desk.renew_certificate, desk.restore_certificate):
        outcome = await ask("own.test")
        assert outcome.is_known
        assert "from files" in outcome.fault
        for unknown in ("plain.test", "x.test"):
            outcome = await ask(unknown)
            assert (outcome.is_known, outcome.fault) == (False, f"{unknown} has no certificate here")


async def test_diagnoses(desk: CertificateDesk) -> None:
    found = await desk.diagnose("a.example.com")
    assert found is not None
    reasons = [problem["reason"] for problem in found["problems"]]  # type: ignore[attr-defined]  # a list
    assert "ca-unreachable" in reasons
    for name, words in (("dev.test", "local CA"), ("own.test", "from files")):
        found = await desk.diagnose(name)
        assert found is not None
        assert found["problems"] == []
        assert words in str(found["notes"])
    assert await desk.diagnose("x.test") is None


def test_an_observation_is_complete_without_a_certificate() -> None:
    assert CertificateObservation(name="-", reason="storage-full").state == ""
