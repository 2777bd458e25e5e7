"""The manager against Pebble, a real ACME CA."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from autocert.certificate import Certificate
from autocert.manager import Autocert
from autocert.problem import Kind, Problem
from autocert.renewal import DAY, State
from autocert.settings import Authority, Settings, Wanted
from autocert.surroundings import Surroundings
from tests.fakes.autocert_world import Recorder, SkippableClock
from tests.fakes.http01 import ChallengeServer
from tests.fakes.pebble import EAB_HMAC_KEY, EAB_KID, Pebble
from tests.fakes.ports import free_port

PATIENCE = 60.0
# Pebble asks as from three places, as real CAs do.
ASKED_PER_NAME = 3
A, B = "a.example.com", "b.example.com"


@dataclass(slots=True)
class World:
    """A CA, a server that answers its challenges, and a folder."""

    pebble: Pebble
    server: ChallengeServer
    folder: Path
    listener: Recorder
    clock: SkippableClock

    def authority(self, **changes: str) -> Authority:
        return Authority(directory=self.pebble.directory, ca_file=str(self.pebble.ca_file), **changes)

    @asynccontextmanager
    async def manager(self, *names: str, **changes: str) -> AsyncIterator[Autocert]:
        settings = Settings(
            storage=self.folder / "ssl", resolver=self.pebble.resolver, http_port=self.server.port
        )
        found = Autocert(settings, self.listener, Surroundings(clock=self.clock))
        await found.start()
        try:
            if names:
                await found.want([Wanted(names=names, authority=self.authority(**changes))])
            yield found
        finally:
            await found.close()


@asynccontextmanager
async def world_around(pebble: Pebble, http_port: int, folder: Path) -> AsyncIterator[World]:
    async with ChallengeServer(http_port) as server:
        listener = Recorder()

        def answer(thumbprint: str) -> None:
            server.thumbprint = thumbprint

        listener.on_thumbprint = answer
        yield World(pebble, server, folder, listener, SkippableClock())


@pytest.fixture(scope="module")
def shared_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def shared_pebble(tmp_path_factory: pytest.TempPathFactory, shared_port: int) -> Iterator[Pebble]:
    with Pebble(tmp_path_factory.mktemp("pebble"), shared_port) as pebble:
        yield pebble


@pytest.fixture
async def world(shared_pebble: Pebble, shared_port: int, tmp_path: Path) -> AsyncIterator[World]:
    shared_pebble.set_dns("set-default-ipv4", ip="127.0.0.1")
    async with world_around(shared_pebble, shared_port, tmp_path) as found:
        yield found


def had(found: Certificate | Problem) -> Certificate:
    assert isinstance(found, Certificate), found
    return found


def missed(found: Certificate | Problem) -> Problem:
    assert isinstance(found, Problem)
    return found


async def test_a_certificate_that_browsers_would_accept(world: World, tmp_path: Path) -> None:
    async with world.manager(A) as manager:
        found = had(await manager.wait_for(A, PATIENCE))
    assert manager.statuses()[0].state is State.VALID
    pem, root = tmp_path / "server.pem", tmp_path / "root.pem"
    pem.write_bytes(found.key_pem + found.chain_pem)
    root.write_bytes(world.pebble.root_pem())
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pem)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context) as server:
        context = ssl.create_default_context(cafile=str(root))
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=A)
        assert await reader.read() == b"hello"
        writer.close()


async def test_fifty_waiters_of_two_names_share_two_orders(world: World) -> None:
    async with world.manager(A, B) as manager:
        found = await asyncio.gather(*(manager.wait_for(name, PATIENCE) for name in [A, B] * 25))
    assert len({had(one).fingerprint for one in found}) == 2
    assert sorted(world.server.asked) == [A] * ASKED_PER_NAME + [B] * ASKED_PER_NAME


async def test_a_group_is_one_certificate(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A, B), group=True, authority=world.authority())])
        assert had(await manager.wait_for(B, PATIENCE)).names == (A, B)


@pytest.mark.parametrize("key_type", ["p384", "rsa2048"])
async def test_key_types(world: World, key_type: str) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A,), key_type=key_type, authority=world.authority())])
        found = had(await manager.wait_for(A, PATIENCE))
    public_key = x509.load_pem_x509_certificate(found.chain_pem).public_key()
    expected = ec.EllipticCurvePublicKey if key_type == "p384" else rsa.RSAPublicKey
    assert isinstance(public_key, expected)


async def test_renewal_comes_by_itself(world: World) -> None:
    async with world.manager(A) as manager:
        first = had(await manager.wait_for(A, PATIENCE))
        world.clock.skip(61 * DAY)
        await world.listener.until(lambda: world.listener.served[A].fingerprint != first.fingerprint)
        assert had(await manager.wait_for(A, PATIENCE)).fingerprint != first.fingerprint


async def test_a_failed_validation_is_explained_and_mended(world: World) -> None:
    world.listener.on_thumbprint = lambda _thumbprint: None
    async with world.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.ANSWERED_BY_OTHER
        assert (
            found.what_is_wrong
            == f"Port 80 of {A} (127.0.0.1) is answered by something other than this proxy."
        )
        assert "404" in found.detail
        (status,) = manager.statuses()
        assert status.problem == found
        assert status.state is State.BACKOFF
        assert world.listener.problems[-1] == (A, found)
        world.server.thumbprint = world.listener.thumbprints[A]
        assert had(await manager.renew(A, PATIENCE)).covers([A])
        assert manager.statuses()[0].problem is None


async def test_a_closed_port_80_is_explained(world: World) -> None:
    world.pebble.set_dns("add-a", host=A, addresses=["127.0.0.77"])
    try:
        async with world.manager(A) as manager:
            found = missed(await manager.wait_for(A, PATIENCE))
            assert found.kind is Kind.PORT_CLOSED
            assert "127.0.0.77" in found.what_is_wrong
    finally:
        world.pebble.set_dns("clear-a", host=A)


async def test_twenty_restarts_ask_nothing(tmp_path: Path) -> None:
    port = free_port()
    with Pebble(tmp_path / "pebble", port) as pebble:
        async with world_around(pebble, port, tmp_path) as world:
            async with world.manager(A, B) as manager:
                await asyncio.gather(manager.wait_for(A, PATIENCE), manager.wait_for(B, PATIENCE))
            # A CA that is asked nothing is not missed either.
            pebble.stop()
            for _ in range(20):
                world.listener.served.clear()
                async with world.manager(A, B) as manager:
                    assert set(world.listener.served) == {A, B}
                    assert {status.state for status in manager.statuses()} == {State.VALID}
            assert world.listener.problems == []


async def test_half_of_all_nonces_rejected(tmp_path: Path) -> None:
    port = free_port()
    names = [f"n{number}.example.com" for number in range(6)]
    with Pebble(tmp_path / "pebble", port, nonce_reject=50) as pebble:
        async with world_around(pebble, port, tmp_path) as world, world.manager(*names) as manager:
            found = await asyncio.gather(*(manager.wait_for(name, PATIENCE) for name in names))
            assert all(isinstance(one, Certificate) for one in found)


async def test_the_ca_goes_comes_back_and_has_forgotten_everything(tmp_path: Path) -> None:
    port = free_port()
    pebble = Pebble(tmp_path / "pebble", port, port=free_port())
    async with world_around(pebble, port, tmp_path) as world, world.manager(A) as manager:
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CA_DOWN
        for round_, name in enumerate([A, B]):
            # The second round finds a CA that was reset: it knows neither account nor order.
            with pebble:
                await manager.want([Wanted(names=(A, B)[: round_ + 1], authority=world.authority())])
                world.clock.skip(700)
                await world.listener.until(lambda name=name: name in world.listener.served)  # type: ignore[misc]
        assert {status.state for status in manager.statuses()} == {State.VALID}


async def test_an_external_account(tmp_path: Path) -> None:
    port = free_port()
    with Pebble(tmp_path / "pebble", port, eab=True) as pebble:
        async with world_around(pebble, port, tmp_path) as world, world.manager(A) as manager:
            found = missed(await manager.wait_for(A, PATIENCE))
            assert found.kind is Kind.EAB_REQUIRED
            bound = world.authority(eab_kid=EAB_KID, eab_hmac_key=EAB_HMAC_KEY)
            await manager.want([Wanted(names=(A,), authority=bound)])
            assert had(await manager.wait_for(A, PATIENCE)).covers([A])


async def test_an_untrusted_ca_is_explained(world: World) -> None:
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A,), authority=Authority(directory=world.pebble.directory))])
        found = missed(await manager.wait_for(A, PATIENCE))
        assert found.kind is Kind.CA_UNTRUSTED
        assert "tls.ca_file" in found.what_to_do


async def test_two_processes_share_account_and_certificate(world: World) -> None:
    other = World(world.pebble, world.server, world.folder, Recorder(), SkippableClock())
    async with world.manager(A) as one, other.manager(A) as two:
        found = await asyncio.gather(one.wait_for(A, PATIENCE), two.wait_for(A, PATIENCE))
        assert had(found[0]).fingerprint == had(found[1]).fingerprint
        assert world.listener.thumbprints == other.listener.thumbprints
    assert world.server.asked == [A] * ASKED_PER_NAME


# Diagnosis, with Pebble's DNS


@pytest.fixture
async def diagnosed(world: World) -> AsyncIterator[tuple[World, Autocert]]:
    """Yield a manager whose account is known and whose names may have any DNS."""
    names = [f"{kind.value}.example.org" for kind in Kind]
    async with world.manager() as manager:
        await manager.want([Wanted(names=(A,), authority=world.authority())])
        had(await manager.wait_for(A, PATIENCE))
        world.pebble.set_dns("set-default-ipv4", ip="")
        yield world, manager
        for name, action in itertools.product(names, ["clear-a", "clear-aaaa", "clear-caa"]):
            world.pebble.set_dns(action, host=name)


@pytest.mark.parametrize(
    ("addresses4", "addresses6", "kinds"),
    [
        (["127.0.0.1"], [], []),
        ([], [], [Kind.NO_ADDRESS]),
        (["127.0.0.77"], [], [Kind.PORT_CLOSED]),
        (["127.0.0.1"], ["::1"], [Kind.IPV6_ELSEWHERE]),
    ],
    ids=["all well", "no address", "closed", "IPv6 elsewhere"],
)
async def test_diagnosis(
    diagnosed: tuple[World, Autocert], addresses4: list[str], addresses6: list[str], kinds: list[Kind]
) -> None:
    world, manager = diagnosed
    if addresses4:
        world.pebble.set_dns("add-a", host=A, addresses=addresses4)
    if addresses6:
        world.pebble.set_dns("add-aaaa", host=A, addresses=addresses6)
    try:
        found = await manager.diagnose(A)
    finally:
        world.pebble.set_dns("clear-a", host=A)
        world.pebble.set_dns("clear-aaaa", host=A)
    assert [problem.kind for problem in found.problems] == kinds
    if not kinds:
        assert found.notes == (
            f"{A} has the addresses 127.0.0.1.",
            f"Challenges for {A} are answered by this proxy at 127.0.0.1.",
        )


async def test_diagnosis_of_another_server(diagnosed: tuple[World, Autocert]) -> None:
    world, manager = diagnosed
    world.pebble.set_dns("set-default-ipv4", ip="127.0.0.1")
    world.server.thumbprint = "of somebody else"
    found = await manager.diagnose(A)
    assert [problem.kind for problem in found.problems] == [Kind.ANSWERED_BY_OTHER]
    assert found.problems[0].detail == "127.0.0.1: HTTP/1.1 200 OK"


async def test_diagnosis_of_a_name_that_nobody_wants(diagnosed: tuple[World, Autocert]) -> None:
    _, manager = diagnosed
    found = await manager.diagnose("evil.example.com")
    assert [problem.kind for problem in found.problems] == [Kind.NOT_WANTED]


async def test_diagnosis_while_the_ca_is_down(tmp_path: Path) -> None:
    port = free_port()
    with Pebble(tmp_path / "pebble", port) as pebble:
        async with world_around(pebble, port, tmp_path) as world, world.manager(A) as manager:
            had(await manager.wait_for(A, PATIENCE))
            pebble.stop_ca()
            found = await manager.diagnose(A)
            assert [problem.kind for problem in found.problems] == [Kind.CA_DOWN]


async def test_a_changed_address_is_told_with_the_next_order(world: World) -> None:
    async with world.manager(A, email="me@example.com") as manager:
        had(await manager.wait_for(A, PATIENCE))
        for email, name in (("you@example.com", B), ("", "c.example.com")):
            authority = world.authority(email=email)
            await manager.want([Wanted(names=(A, name), authority=authority)])
            had(await manager.wait_for(name, PATIENCE))
        assert world.listener.problems == []
