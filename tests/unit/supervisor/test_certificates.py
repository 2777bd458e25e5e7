"""From a configuration to the workers: what is pushed, who may wait how long, and what follows a reload."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from proxy.config.schema import Config, Site, Tls
from proxy.control.messages import CertificateUnusable, CertificateWanted, SetCertificate
from proxy.supervisor import certificate_keeper
from proxy.supervisor.certificate_problems import CertificateProblem, CertificateProblems
from proxy.supervisor.certificate_push import CertificatePush
from proxy.supervisor.certificate_rows import CertificateRow
from proxy.supervisor.certificate_wishes import Probing
from proxy.supervisor.certificates import Certificates
from tests.fakes.root_ca import TestCa
from tests.fakes.warped_loop import WarpedLoop, pass_time, turns
from tests.fakes.worker_pool import NotedWorkers

DOWN = CertificateProblem(reason="ca-unreachable", what_is_wrong="The CA is away.", what_to_do="Wait.")


@dataclass
class FakeKeeper:
    """A keeper in the test's hands; `answers` are what `wait_for` ends with, by name."""

    storage: Path
    push: CertificatePush
    problems: CertificateProblems
    is_ours: object
    probing: Probing
    wanted: list[tuple[str, ...]] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)
    answers: dict[str, "asyncio.Future[CertificateProblem | None]"] = field(default_factory=dict)
    is_closed: bool = False
    made: ClassVar[list["FakeKeeper"]] = []
    faults: ClassVar[list[Exception]] = []

    def __post_init__(self) -> None:
        self.made.append(self)

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self.is_closed = True

    async def want(self, sites: Iterable[Site]) -> None:
        if self.faults:
            raise self.faults.pop()
        self.wanted.append(tuple(name for site in sites for name in site.domains))

    async def wait_for(self, name: str, seconds: float) -> CertificateProblem | None:
        self.waits.append((name, seconds))
        answer = self.answers.setdefault(name, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            return DOWN

    async def under_any_name(self, name: str, seconds: float) -> tuple[bytes, bytes] | None:
        return name.encode(), b"key"

    def rows(self) -> list[CertificateRow]:
        return [
            CertificateRow(names=names, mode="acme", state="valid") for names in self.wanted[-1:] if names
        ]

    def has_removed(self, name: str) -> bool:
        return any(name in names for names in self.wanted[:-1])

    @property
    def storage_problem(self) -> CertificateProblem | None:
        return None


@pytest.fixture(autouse=True)
def _no_real_keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(certificate_keeper, "CertificateKeeper", FakeKeeper)
    yield
    FakeKeeper.made.clear()
    FakeKeeper.faults.clear()


class World:
    """Certificates at work, and workers that take note."""

    def __init__(self) -> None:
        self.workers = NotedWorkers()
        self.certificates = Certificates(self.workers, Probing("resolver:53", 5002))
        self.running = asyncio.create_task(self.certificates.run())

    async def follow(self, *sites: Site) -> None:
        self.certificates.follow(Config(sites=sites))
        await turns(5)

    async def ask(self, name: str) -> None:
        self.certificates.reported(self.workers, CertificateWanted(name))
        await turns(3)

    @property
    def keeper(self) -> FakeKeeper:
        return FakeKeeper.made[-1]

    async def close(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.certificates.close()


def run(work: Coroutine[None, None, None]) -> None:
    """Run a test on a clock that it can put forward."""
    with asyncio.Runner(loop_factory=WarpedLoop) as runner:
        runner.run(work)


def site(*domains: str, **tls: object) -> Site:
    return Site(domains=domains, name=domains[0], tls=Tls(**tls))  # type: ignore[arg-type]  # as in the file


def own(folder: Path, ca: TestCa, *domains: str) -> Site:
    """Return a site with files of its own."""
    key, chain = ca.issue(list(domains))
    (folder / "a.pem").write_bytes(chain)
    (folder / "a.key").write_bytes(key)
    return site(*domains, mode="files", certificate=str(folder / "a.pem"), private_key=str(folder / "a.key"))


def test_handshakes_of_one_name_share_a_wait_and_get_the_certificate_itself() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test", "b.test", hold=15.0))
        assert world.keeper.probing == Probing("resolver:53", 5002)
        for name in ("a.test", "a.test", "b.test"):
            await world.ask(name)
        assert [name for name, _ in world.keeper.waits] == ["a.test", "b.test"]
        world.keeper.push.serve("a.test", b"chain", b"key")
        world.keeper.answers["a.test"].set_result(None)
        await turns(3)
        assert world.workers.failed == []
        await world.ask("a.test")  # a worker that has not heard of it yet
        assert world.workers.sent == [SetCertificate("a.test", b"chain", b"key")]
        await world.close()

    run(story())


def test_what_is_known_to_fail_ends_handshakes_at_once() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test"))
        await world.ask("a.test")
        world.keeper.answers["a.test"].set_result(DOWN)
        await turns(3)
        assert world.workers.failed == ["a.test"]
        await world.close()

    run(story())


def test_a_later_handshake_is_not_cut_short_by_the_first_one_s_end() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test", hold=10.0))
        await world.ask("a.test")
        await pass_time(8.0)
        await world.ask("a.test")
        await pass_time(4.0)
        assert world.workers.failed == []  # the second one began 4 s ago
        await pass_time(8.0)
        assert world.workers.failed == ["a.test"]
        await world.close()

    run(story())


def test_a_question_before_the_configuration_is_applied_waits_for_that() -> None:
    async def story() -> None:
        world = World()
        world.certificates.follow(Config(sites=(site("a.test", hold=10.0),)))
        world.certificates.reported(world.workers, CertificateWanted("a.test"))
        await turns(8)
        assert [name for name, _ in world.keeper.waits] == ["a.test"]
        await world.close()

    run(story())


def test_a_question_that_is_never_answered_ends_all_the_same() -> None:
    async def story() -> None:
        world = World()
        world.running.cancel()  # nothing is ever applied
        await world.follow(site("a.test", hold=10.0))
        await world.ask("a.test")
        await pass_time(12.0)
        assert world.workers.failed == ["a.test"]
        await world.close()

    run(story())


def test_names_that_are_not_configured_are_not_heard() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test"), site("p.test", passthrough_challenges=True))
        for name in ("evil.test", "p.test"):
            await world.ask(name)
        world.certificates.reported(world.workers, CertificateUnusable("evil.test", "why"))
        assert (world.keeper.waits, world.workers.failed) == ([], ["p.test"])
        (row,) = [row for row in world.certificates.rows() if row.names == ("p.test",)]
        assert row.problem is not None
        assert row.problem.reason == "challenges-passed-through"
        await world.close()

    run(story())


def test_a_certificate_that_workers_cannot_use_is_told_once_and_not_sent_again() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test"))
        world.keeper.push.serve("a.test", b"chain", b"key")
        for _ in range(2):
            world.certificates.reported(world.workers, CertificateUnusable("a.test", "too weak"))
        assert world.workers.failed == ["a.test"]
        await world.ask("a.test")
        assert (world.workers.sent, world.workers.failed) == ([], ["a.test"] * 2)
        (row,) = world.certificates.rows()
        assert row.problem is not None
        assert (row.problem.reason, "too weak" in row.problem.what_is_wrong) == ("unusable", True)
        assert world.certificates.problems.failures == {("a.test", "unusable"): 1}
        world.keeper.push.serve("a.test", b"newer", b"key")
        (row,) = world.certificates.rows()
        assert row.problem is None
        await world.close()

    run(story())


def test_a_reload_takes_names_away_and_brings_others() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test", "b.test"))
        for name in ("a.test", "b.test"):
            world.keeper.push.serve(name, b"chain", b"key")
        world.workers.told.clear()
        await world.follow(site("b.test", "c.test"))
        assert world.keeper.wanted == [("a.test", "b.test"), ("b.test", "c.test")]
        assert set(world.workers.certificates) == {"b.test"}  # told again, lest a worker has forgotten it
        assert world.certificates.keeper_of("a.test") is not None  # who has kept the removed one
        await world.follow(site("b.test", mode="off"))
        assert world.keeper.wanted[-1] == ()
        assert not world.keeper.is_closed  # removed certificates are kept for a while
        await world.close()
        assert world.keeper.is_closed

    run(story())


def test_each_storage_has_a_keeper_of_its_own() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test"), site("b.test", storage="other"))
        first, second = FakeKeeper.made
        assert (first.wanted, second.wanted) == ([("a.test",)], [("b.test",)])
        await world.ask("b.test")
        assert [name for name, _ in second.waits] == ["b.test"]
        await world.follow(site("a.test"))
        assert (first.is_closed, second.is_closed) == (False, True)
        await world.close()

    run(story())


def test_a_fault_while_applying_does_not_lose_the_configuration() -> None:
    async def story() -> None:
        world = World()
        FakeKeeper.faults.append(RuntimeError("inside"))
        await world.follow(site("a.test"))
        with pytest.raises(RuntimeError):
            await world.running
        world.running = asyncio.create_task(world.certificates.run())  # as the supervisor does
        await turns(5)
        assert world.keeper.wanted == [("a.test",)]
        await world.close()

    run(story())


def test_files_are_served_at_once_and_without_a_keeper(tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        ca = TestCa()
        await world.follow(own(tmp_path, ca, "a.test", "b.test"), site("off.test", mode="off"))
        assert set(world.workers.certificates) == {"a.test", "b.test"}
        assert FakeKeeper.made == []
        briefed = world.certificates.briefing()
        own(tmp_path, ca, "a.test", "b.test")
        for _ in range(3):
            world.certificates.poll()
        assert world.certificates.briefing() != briefed
        (tmp_path / "a.key").write_bytes(b"")
        for _ in range(3):
            world.certificates.poll()
        (row,) = world.certificates.rows()
        assert row.problem == world.certificates.problems.latest("b.test")
        await world.ask("c.test")
        await world.close()

    run(story())


def test_a_name_whose_files_cannot_be_served_is_refused_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        given = own(tmp_path, TestCa(), "a.test")
        (tmp_path / "a.key").unlink()
        await world.follow(given)
        await world.ask("a.test")
        assert world.workers.failed == ["a.test"]
        await world.close()

    run(story())


def test_names_under_a_site_for_any_host_are_asked_for_one_by_one() -> None:
    async def story() -> None:
        world = World()
        await world.follow(site("a.test"))
        await world.ask("b.test")
        assert world.workers.sent == []
        await world.follow(site("a.test"), site("*", mode="self-signed"))
        await world.ask("b.test")
        assert world.workers.sent == [SetCertificate("b.test", b"b.test", b"key")]
        await world.close()

    run(story())
