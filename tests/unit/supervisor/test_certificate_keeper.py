"""A keeper with a real storage and the local CA: names as the configuration has them, and what is logged."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from autocert.problem import Kind
from autocert.problem import problem as problem_of
from proxy.config.schema import Site, Tls
from proxy.supervisor.certificate_keeper import CertificateKeeper
from proxy.supervisor.certificate_problems import CertificateProblems
from proxy.supervisor.certificate_push import CertificatePush
from proxy.supervisor.certificate_wishes import Probing
from tests.fakes.worker_pool import NotedWorkers

LOCAL = Tls(mode="self-signed")
#: Nobody answers there.
AWAY = Tls(directory="https://127.0.0.1:1/dir", hold=1.0)


class World:
    """A keeper and all that it talks to."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.workers = NotedWorkers()
        self.ours: set[str] = set()
        self.problems = CertificateProblems()
        self.push = CertificatePush(self.workers)
        self.keeper = self.another()

    def another(self) -> CertificateKeeper:
        return CertificateKeeper(
            self.storage, self.push, self.problems, lambda name: name in self.ours, Probing(http_port=1)
        )

    async def want(self, *sites: Site) -> None:
        self.ours = {name for site in sites for name in site.domains}
        await self.keeper.want(sites)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "storage")
    await world.keeper.start()
    yield world
    await world.keeper.close()


def site(*domains: str, tls: Tls = LOCAL) -> Site:
    return Site(domains=domains, name=domains[0], tls=tls)


async def test_certificates_come_under_the_names_of_the_configuration(world: World) -> None:
    names = ("dev.test", "[::1]", "*")
    await world.want(*(site(name) for name in names))
    for name in names:
        assert await world.keeper.wait_for(name, 30.0) is None
    assert set(world.workers.certificates) == set(names)
    rows = world.keeper.rows()
    assert {row.names for row in rows} == {(name,) for name in names}
    assert {(row.mode, row.state) for row in rows} == {("self-signed", "valid")}


async def test_a_certificate_is_news_when_it_is_made_and_not_when_it_is_found(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "foregate.certificates")
    await world.want(site("dev.test"))
    assert await world.keeper.wait_for("dev.test", 30.0) is None
    assert [record.message for record in caplog.records] == ["certificate in use"]
    await world.keeper.close()
    caplog.clear()
    world.keeper = world.another()
    await world.keeper.start()
    await world.want(site("dev.test"))
    assert set(world.workers.certificates) == {"dev.test"}
    assert caplog.records == []


async def test_what_another_part_serves_by_now_is_left_alone(world: World) -> None:
    await world.want(site("dev.test"))
    assert await world.keeper.wait_for("dev.test", 30.0) is None
    world.workers.told.clear()
    world.ours.clear()
    assert await world.keeper.renew("dev.test", 30.0) is None
    assert world.workers.told == []


async def test_a_ca_that_does_not_answer_is_named_in_two_sentences(world: World) -> None:
    await world.want(site("a.example.com", tls=AWAY))
    problem = await world.keeper.wait_for("a.example.com", 30.0)
    assert problem is not None
    assert problem.reason == "ca-unreachable"
    assert world.problems.latest("a.example.com") == replace(problem)
    (row,) = world.keeper.rows()
    assert (row.mode, row.state, row.problem) == ("acme", "backoff", problem)
    assert row.next_attempt == problem.next_attempt


async def test_challenges_are_answered_before_anything_is_asked(world: World) -> None:
    await world.want(site("a.example.com", "b.example.com", tls=AWAY), site("dev.test"))
    assert set(world.workers.thumbprints) == {"a.example.com", "b.example.com"}
    assert world.workers.syncs > 0


async def test_edges_get_a_placeholder_while_a_challenge_is_pending(world: World) -> None:
    world.keeper.challenge_pending(("a.test",), False)
    assert world.workers.placeholders == []
    for _ in range(2):
        world.keeper.challenge_pending(("a.test",), True)
    (placeholder,) = world.workers.placeholders
    assert placeholder.chain_pem.startswith(b"-----BEGIN CERTIFICATE-----")


async def test_a_site_that_can_never_have_one_does_not_keep_others_from_theirs(world: World) -> None:
    await world.want(site("bad name", "x.test"), site("dev.test"))
    assert await world.keeper.wait_for("dev.test", 30.0) is None
    (bad,) = [row for row in world.keeper.rows() if row.state == "absent"]
    assert bad.names == ("bad name", "x.test")
    assert bad.problem is not None
    assert bad.problem.reason == "settings"
    assert world.problems.latest("x.test") == bad.problem
    await world.want(site("dev.test"))
    assert len(world.keeper.rows()) == 1


async def test_the_stand_in_of_the_local_ca_is_shown_as_such(world: World) -> None:
    await world.want(site("box.internal", tls=Tls(directory="letsencrypt")))
    assert await world.keeper.wait_for("box.internal", 30.0) is None
    (row,) = world.keeper.rows()
    assert row.problem is not None
    assert (row.state, row.problem.reason) == ("valid", "local-ca")
    assert not world.problems.failures


async def test_renewing_and_going_back(world: World) -> None:
    await world.want(site("dev.test"))
    assert await world.keeper.wait_for("dev.test", 30.0) is None
    first = world.workers.certificates["dev.test"]
    problem = await world.keeper.restore("dev.test")
    assert problem is not None
    assert problem.reason == "no-previous"
    assert await world.keeper.renew("dev.test", 30.0) is None
    assert world.workers.certificates["dev.test"] != first
    assert await world.keeper.restore("dev.test") is None
    assert world.workers.certificates["dev.test"] == first


async def test_a_removed_name_is_kept_and_shown(world: World) -> None:
    await world.want(site("dev.test"), site("other.test"))
    for name in ("dev.test", "other.test"):
        assert await world.keeper.wait_for(name, 30.0) is None
    await world.want(site("dev.test"))
    assert (world.keeper.has_removed("other.test"), world.keeper.has_removed("dev.test")) == (True, False)
    row = world.keeper.rows()[-1]
    assert (row.names, row.mode) == (("other.test",), "")
    assert row.removed_at is not None
    assert row.erased_at == pytest.approx(row.removed_at + 7 * 86400)
    assert await world.keeper.restore("other.test") is None
    (_, row) = world.keeper.rows()
    assert row.not_after is not None
    assert row.erased_at is not None
    assert row.erased_at > row.not_after


async def test_problems_come_under_the_names_of_the_configuration(world: World) -> None:
    await world.want(site("[::1]"))
    world.keeper.problem("::1", problem_of(Kind.CAA, "::1"))
    assert world.problems.latest("[::1]") is not None
    world.keeper.problem("", problem_of(Kind.STORAGE_FULL, "", path="/x"))
    assert world.problems.latest("") is None


async def test_a_storage_that_fails_is_shown(tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("a file where the folder should be")
    world = World(tmp_path / "storage")
    await world.keeper.start()
    await world.want(site("dev.test"))
    assert world.keeper.storage_problem is not None
    assert world.keeper.storage_problem.reason == "storage-fails"
    await world.keeper.close()


async def test_a_wait_that_is_cancelled_cancels_nothing_else(world: World) -> None:
    await world.want(site("dev.test"))
    wait = asyncio.create_task(world.keeper.wait_for("dev.test", 30.0))
    await asyncio.sleep(0)
    wait.cancel()
    assert await world.keeper.wait_for("dev.test", 30.0) is None
