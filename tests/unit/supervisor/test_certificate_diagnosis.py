"""`foregate diagnose` without an instance: the same answers, and nothing kept is touched."""

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.admin.operations import Document
from proxy.config.schema import Config, Site, Tls
from proxy.supervisor.certificate_diagnosis import diagnose_alone, diagnose_unconfigured
from proxy.supervisor.certificate_wishes import Probing
from tests.fakes.http01 import ChallengeServer
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


def reasons_of(found: Document) -> list[str]:
    return [problem["reason"] for problem in found["problems"]]  # type: ignore[attr-defined]  # a list


def acme(*names: str) -> Config:
    return Config(sites=tuple(Site(domains=(name,), name=name, tls=Tls()) for name in names), tls=Tls())


async def test_a_name_that_is_not_configured_says_what_to_write(config: Config) -> None:
    found = await diagnose_alone(config, "192.0.2.7", PROBING)
    assert reasons_of(found)[0] == "not-configured"
    assert 'domains = ["192.0.2.7"]' in str(found["problems"])
    found = await diagnose_alone(config, "x.test", PROBING)
    assert reasons_of(found) == ["not-configured"]
    assert found["notes"] == ["No public CA knows such a name as x.test; the local CA does."]


async def test_a_misspelt_name_is_guessed_and_a_site_for_any_host_is_named() -> None:
    found = await diagnose_unconfigured(acme("www.dev.test", "*"), "ww.dev.test", PROBING)
    assert found["notes"][:2] == [  # type: ignore[index]  # a list
        "www.dev.test is configured; was that meant?",
        'The site for any host ("*") answers for ww.dev.test meanwhile.',
    ]


async def test_a_name_that_is_only_in_the_file_has_to_be_loaded() -> None:
    found = await diagnose_unconfigured(acme("a.test"), "a.test", PROBING)
    assert "Run foregate reload." in str(found["problems"])


async def test_whether_a_name_leads_here_is_shown_by_a_configured_one() -> None:
    async with ChallengeServer() as server:
        server.thumbprint = "whoever's"
        probing = Probing(http_port=server.port)
        found = await diagnose_unconfigured(acme("a.example.com"), "127.0.0.1", probing)
        assert reasons_of(found) == ["not-configured"]
        assert "127.0.0.1 leads to this proxy: challenges for a.example.com are answered there." in str(
            found["notes"]
        )
        found = await diagnose_unconfigured(acme(), "127.0.0.1", probing)
        assert "nothing shows whether it is this proxy" in str(found["notes"])
    found = await diagnose_unconfigured(acme("a.example.com"), "127.0.0.1", Probing(http_port=1))
    assert reasons_of(found) == ["not-configured", "port-80-closed"]


async def test_a_name_without_https_is_not_taken_for_one_that_is_not_loaded(config: Config) -> None:
    found = await diagnose_unconfigured(config, "plain.test", PROBING)
    assert (found["problems"], found["notes"]) == (
        [],
        ['https is switched off for plain.test: tls.mode is "off".'],
    )
    without = replace(config, server=replace(config.server, https=()))
    found = await diagnose_unconfigured(without, "plain.test", PROBING)
    assert found["notes"] == ["https is switched off for plain.test: server.https is empty."]
