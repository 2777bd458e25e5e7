"""`foregate diagnose` without an instance: the same answers, and nothing kept is touched."""

from pathlib import Path

import pytest

from proxy.config.schema import Config, Site, Tls
from proxy.supervisor.certificate_diagnosis import diagnose_alone
from proxy.supervisor.certificate_wishes import Probing
from tests.fakes.root_ca import TestCa

PROBING = Probing(resolver="127.0.0.1:1", http_port=1)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    storage = str(tmp_path / "storage")
    key, chain = TestCa().issue(["other.test"])
    (tmp_path / "own.pem").write_bytes(chain)
    (tmp_path / "own.key").write_bytes(key)
    own = Tls(
        mode="files",
        certificate=str(tmp_path / "own.pem"),
        private_key=str(tmp_path / "own.key"),
        storage=storage,
    )
    tables = {
        "dev.test": Tls(mode="self-signed", storage=storage),
        "192.0.2.1": Tls(directory="https://127.0.0.1:1/dir", storage=storage),
        "own.test": own,
        "broken.test": Tls(mode="files", storage=storage, certificate="/nothing", private_key="/nothing"),
        "plain.test": Tls(mode="off", storage=storage),
    }
    sites = (Site(domains=(name,), name=name, tls=tls) for name, tls in tables.items())
    return Config(sites=tuple(sites), tls=Tls(storage=storage))


@pytest.mark.parametrize(
    ("name", "reasons", "words"),
    [
        ("dev.test", [], "local CA"),
        ("plain.test", [], "switched off"),
        ("own.test", ["file-names"], ""),
        ("broken.test", ["file-unreadable"], ""),
    ],
)
async def test_what_needs_no_ca(config: Config, name: str, reasons: list[str], words: str) -> None:
    found = await diagnose_alone(config, name, PROBING)
    assert found is not None
    assert [problem["reason"] for problem in found["problems"]] == reasons  # type: ignore[attr-defined]  # a list
    assert words in str(found["notes"])


async def test_what_a_ca_would_meet_with(config: Config, tmp_path: Path) -> None:
    found = await diagnose_alone(config, "192.0.2.1", Probing(http_port=1))
    assert found is not None
    assert "ca-unreachable" in [problem["reason"] for problem in found["problems"]]  # type: ignore[attr-defined]
    assert not (tmp_path / "storage").exists()


async def test_a_name_that_is_not_configured(config: Config) -> None:
    assert await diagnose_alone(config, "x.test", PROBING) is None
