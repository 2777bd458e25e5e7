"""Pairs of files: read when they change, served when they can be, explained when they cannot."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config.schema import Config, Site, Tls
from proxy.supervisor.certificate_files import (
    FileCertificate,
    FileCertificates,
    UnusablePairError,
    check_pairs,
    load_pair,
)
from proxy.supervisor.certificate_problems import CertificateProblem
from proxy.supervisor.certificate_wishes import FilePair
from tests.fakes.certificates import ODD_NAMES, Authority, encrypted_key
from tests.fakes.root_ca import TestCa

NOW = 1_800_000_000.0
DAY = 86400.0


@dataclass
class World:
    """A folder with one pair, a CA, and what is told about them."""

    folder: Path
    ca: TestCa = field(default_factory=lambda: TestCa(now=NOW))
    served: list[FileCertificate] = field(default_factory=list)
    told: list[tuple[tuple[str, ...], CertificateProblem | None]] = field(default_factory=list)
    files: FileCertificates = field(init=False)

    def __post_init__(self) -> None:
        self.pair = FilePair(str(self.folder / "a.pem"), str(self.folder / "a.key"))
        self.files = FileCertificates(
            lambda _names, certificate: self.served.append(certificate),
            lambda names, problem: self.told.append((names, problem)),
        )

    def write(self, chain: bytes, key: bytes, pair: FilePair | None = None) -> None:
        Path((pair or self.pair).certificate).write_bytes(chain)
        Path((pair or self.pair).private_key).write_bytes(key)

    def issue(self, *names: str, begins: float = -DAY, lasts: float = 90 * DAY) -> tuple[bytes, bytes]:
        key, chain = self.ca.issue(list(names or ("a.test",)), begins=begins, lasts=lasts)
        self.write(chain, key)
        return chain, key

    def follow(self, *names: str, now: float = NOW) -> None:
        self.files.follow({self.pair: names or ("a.test",)}, now)

    def poll(self, times: int = 3, now: float = NOW) -> None:
        for _ in range(times):
            self.files.poll(now)

    @property
    def reasons(self) -> list[str]:
        return ["" if problem is None else problem.reason for _, problem in self.told]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_good_pair_is_served_and_shown(world: World) -> None:
    chain, key = world.issue("a.test", "*.b.test")
    world.follow("a.test", "x.b.test")
    assert [(one.chain, one.key) for one in world.served] == [(chain, key)]
    assert world.told == [(("a.test", "x.b.test"), None)]
    (row,) = world.files.rows(NOW)
    assert (row.state, row.mode, row.not_after, row.issuer) == (
        "valid",
        "files",
        NOW + 89 * DAY,
        "CN=test CA",
    )
    (row,) = world.files.rows(NOW + 90 * DAY)
    assert (row.state, row.problem and row.problem.reason) == ("expired", "file-expired")


def test_a_change_is_taken_up_when_both_files_have_kept_still(world: World) -> None:
    world.issue()
    world.follow()
    world.poll()
    chain, key = world.issue()
    Path(world.pair.private_key).write_bytes(b"half of")
    world.poll(2)
    Path(world.pair.private_key).write_bytes(key)
    world.poll(2)
    assert len(world.served) == 1
    world.poll(1)
    assert [one.chain for one in world.served[1:]] == [chain]
    assert world.reasons == [""]


def _mismatch(world: World) -> None:
    Path(world.pair.private_key).write_bytes(world.ca.issue(["a.test"])[0])


def _exchange(world: World) -> None:
    chain, key = world.issue()
    world.write(key, chain)


def _put_a_folder(world: World) -> None:
    Path(world.pair.certificate).unlink()
    Path(world.pair.certificate).mkdir()


BROKEN: dict[str, tuple[Callable[[World], object], str, str]] = {
    "another key": (_mismatch, "file-unusable", "does not belong to the certificate"),
    "exchanged": (_exchange, "file-unusable", "holds no PEM certificate"),
    "encrypted": (
        lambda w: Path(w.pair.private_key).write_bytes(encrypted_key()),
        "file-unusable",
        "encrypted",
    ),
    "emptied": (lambda w: w.write(b"", b""), "file-unusable", "holds no PEM certificate"),
    "truncated": (lambda w: w.write(w.issue()[0][:300], b""), "file-unusable", "holds no PEM private key"),
    "garbage": (
        lambda w: w.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", w.issue()[1]),
        "file-unusable",
        "damaged",
    ),
    "removed": (lambda w: Path(w.pair.certificate).unlink(), "file-unreadable", "no such file"),
    "a folder": (
        _put_a_folder,
        "file-unreadable",
        "is a directory",
    ),
    "expired": (lambda w: w.issue(begins=-DAY, lasts=DAY / 2), "file-expired", "ended on"),
    "too early": (lambda w: w.issue(begins=DAY), "file-not-yet-valid", "begins on"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_bad_pair_leaves_the_old_one_in_use(world: World, fault: str) -> None:
    spoil, reason, words = BROKEN[fault]
    world.issue()
    world.follow()
    spoil(world)
    world.poll(5)
    assert len(world.served) == 1
    assert world.reasons == ["", reason]
    problem = world.told[-1][1]
    assert problem is not None
    assert words in problem.what_is_wrong
    assert problem.what_is_wrong.endswith(".")
    assert problem.what_to_do.endswith(".")
    (row,) = world.files.rows(NOW)
    assert (row.state, row.problem) == ("valid", problem)


def test_a_good_pair_afterwards_is_taken_up(world: World) -> None:
    world.issue()
    world.follow()
    _mismatch(world)
    world.poll()
    chain, _ = world.issue()
    world.poll()
    assert world.served[-1].chain == chain
    assert world.reasons == ["", "file-unusable", ""]


@pytest.mark.parametrize(
    ("begins", "lasts", "reason"), [(-DAY, DAY / 2, "file-expired"), (DAY, DAY, "file-not-yet-valid")]
)
def test_odd_dates_are_better_than_nothing(world: World, begins: float, lasts: float, reason: str) -> None:
    world.issue(begins=begins, lasts=lasts)
    world.follow()
    assert (len(world.served), world.reasons) == (1, [reason])


def test_the_end_of_what_is_served_is_told_once(world: World) -> None:
    world.issue(begins=-DAY, lasts=2 * DAY)
    world.follow("a.test", "b.test")
    assert world.reasons == ["file-names"]
    world.poll(now=NOW + DAY - 1)
    world.poll(5, now=NOW + DAY)
    assert world.reasons == ["file-names", "file-expired"]


def test_without_any_certificate_nothing_is_served(world: World) -> None:
    world.follow()
    assert (world.served, world.reasons) == ([], ["file-unreadable"])
    (row,) = world.files.rows(NOW)
    assert (row.state, row.issuer, row.not_after) == ("absent", "", None)


def test_other_files_for_the_same_site_leave_the_old_ones_in_use(world: World, tmp_path: Path) -> None:
    world.issue()
    world.follow()
    other = FilePair(str(tmp_path / "b.pem"), str(tmp_path / "b.key"))
    world.files.follow({other: ("a.test",)}, NOW)
    (row,) = world.files.rows(NOW)
    assert (row.state, world.reasons[-1]) == ("valid", "file-unreadable")
    key, chain = world.ca.issue(["a.test"])
    world.write(chain, key, other)
    world.poll()
    assert world.served[-1].chain == chain
    world.files.follow({}, NOW)
    assert world.files.rows(NOW) == []


def test_a_reload_reads_at_once(world: World) -> None:
    world.issue()
    world.follow()
    chain, _ = world.issue()
    world.follow()
    assert world.served[-1].chain == chain


def test_key_and_certificate_may_be_in_one_file(world: World) -> None:
    key, chain = world.ca.issue(["a.test"])
    pair = FilePair(world.pair.certificate, world.pair.certificate)
    Path(pair.certificate).write_bytes(chain + key)
    assert load_pair(pair).names == ("a.test",)


def test_which_names_a_certificate_is_for(world: World) -> None:
    world.issue("a.test", "*.b.test", "192.0.2.1", "2001:db8::1")
    names = ("a.test", "x.b.test", "192.0.2.1", "[2001:db8::1]", "*")
    assert load_pair(world.pair).lacks(names) == ()
    others = ("b.test", "x.y.b.test", "x.a.test", "192.0.2.2")
    assert load_pair(world.pair).lacks(others) == others
    assert ipaddress.ip_address("2001:db8::1").compressed in load_pair(world.pair).names


@pytest.mark.parametrize("names", ODD_NAMES)
def test_a_certificate_whose_names_cannot_be_read_is_served_with_a_warning(
    world: World, tmp_path: Path, names: bytes
) -> None:
    pair = Authority(tmp_path).odd_pair(names)
    world.write(pair.chain, pair.key)
    world.follow()
    assert [one.names for one in world.served] == [()]
    assert world.reasons == ["file-names"]


def test_a_file_of_monstrous_size_is_not_read(world: World) -> None:
    world.issue()
    with Path(world.pair.certificate).open("ab") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(UnusablePairError, match="larger than"):
        load_pair(world.pair)


def test_check_tells_faults_from_oddities(world: World, tmp_path: Path) -> None:
    world.issue(begins=-DAY, lasts=DAY / 2)
    expired = Tls(mode="files", certificate=world.pair.certificate, private_key=world.pair.private_key)
    broken = Tls(mode="files", certificate=world.pair.private_key, private_key=str(tmp_path / "none"))
    sites = [
        Site(domains=(name,), name=name, tls=tls) for name, tls in (("a.test", expired), ("b.test", broken))
    ]
    faults, warnings = check_pairs(Config(sites=tuple(sites)), NOW)
    assert [problem.reason for problem in faults] == ["file-unreadable"]
    assert [problem.reason for problem in warnings] == ["file-expired"]
