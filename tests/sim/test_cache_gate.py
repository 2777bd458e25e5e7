"""Clients that come and go, an app that does whatever apps do, other workers, writes, in any order that a seed gives.

Every client gets one answer, or leaves; what it gets is whole, its own, in its language, and no older than what it
wrote. In the end nobody waits, and claims, budget and fetches are all given back.
"""

import os
import random
from collections.abc import Callable

import pytest

from proxy.config.schema import Cache
from tests.fakes.cache_peers import Client, Forward
from tests.fakes.cache_world import World

#: Stands in for parts of the sources, which their compiled form does not allow.
pytestmark = pytest.mark.sources

SEEDS = int(os.environ.get("FOREGATE_SIM_SEEDS", "25"))
STEPS = 1500
USERS = (b"", b"session=a", b"session=b")
TARGETS = (b"/page", b"/varies", b"/large")
LANGUAGES = (b"de", b"en")
OBJECT_SIZE = 2000
PIECES = 4


class Session:
    """One client, what it has asked for, and what the answer must not be older than."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.client = Client(sim.world)
        self.question: tuple[bytes, bytes, bytes, int] | None = None
        self.seen = 0

    def ask(self) -> None:
        random_ = self.sim.random
        user, target, language = random_.choice(USERS), random_.choice(TARGETS), random_.choice(LANGUAGES)
        self.question = (user, target, language, self.sim.floor[user])
        method = b"HEAD" if random_.random() < 0.05 else b"GET"
        if random_.random() < 0.2:
            self.client.then = self.checked_and_on
        has_it = b'If-None-Match: "%d"\r\n' % self.sim.floor[user] if random_.random() < 0.2 else b""
        self.client.ask(target, method=method, cookie=user, language=language, fields=has_it)

    def checked_and_on(self) -> None:
        """Ask the next thing in the same moment, as a client with several requests in one packet."""
        self.check()
        self.ask()

    def leave(self) -> None:
        self.client.leave()
        self.client = Client(self.sim.world)
        self.question, self.seen = None, 0

    def check(self) -> None:
        """Compare the answers that came with what was asked."""
        for status, content, _ in self.client.answers[self.seen :]:
            assert self.question is not None
            user, target, language, least = self.question
            if status == 200 and content:
                told = content.split(b"|")
                assert told[0] == user
                assert told[1] == target
                assert target != b"/varies" or told[2] == language
                assert int(told[3]) >= least, "older than an own write"
                assert content.endswith(b"|end"), "not whole"
        self.seen = len(self.client.answers)


class Simulation:
    """Everything, moved on by one random step after the other."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.random = random.Random(seed)
        self.world = World(monkeypatch, Cache(object_size=OBJECT_SIZE, ttl=3.0, wait=5.0, grace=30.0))
        self.versions = dict.fromkeys(USERS, 0)
        self.floor = dict.fromkeys(USERS, 0)
        self.rest: dict[Forward, list[bytes]] = {}
        self.sessions = [Session(self) for _ in range(12)]
        self.steps: tuple[tuple[Callable[[], None], int], ...] = (
            (self.ask, 40),
            (self.leave, 8),
            (self.pause, 8),
            (self.app, 60),
            (self.write, 3),
            (self.time, 25),
            (self.others, 4),
            (self.budget, 1),
        )

    def run(self, steps: int) -> None:
        calls, weights = [call for call, _ in self.steps], [weight for _, weight in self.steps]
        for call in self.random.choices(calls, weights, k=steps):
            call()
            self.check()

    def check(self) -> None:
        for session in self.sessions:
            session.check()
        waits = self.world.gate.waits
        assert waits.budget.taken >= 0
        assert len(waits.fills) <= len(self.world.forwards)
        assert len(self.world.claims.held) <= len(waits.fills)

    def ask(self) -> None:
        session = self.random.choice(self.sessions)
        if session.client.exchange is None:
            session.check()
            session.ask()

    def leave(self) -> None:
        session = self.random.choice(self.sessions)
        if session.client.exchange is not None:
            session.leave()

    def pause(self) -> None:
        session = self.random.choice(self.sessions)
        if session.client.exchange is not None:
            session.client.pause(is_paused=self.random.random() < 0.5)

    def write(self) -> None:
        user = self.random.choice(USERS[1:])
        self.versions[user] += 1
        self.world.write(user, self.random.choice(TARGETS))
        self.floor[user] = self.versions[user]

    def time(self) -> None:
        self.world.pass_time(self.random.choice((0.001, 0.02, 0.2, 1.0, 4.0)))

    def others(self) -> None:
        """Let other workers claim what is asked for here, or give it back, or sit on the table's lock."""
        claims = self.world.claims
        claims.is_busy = self.random.random() < 0.2
        claims.elsewhere.clear()
        if self.random.random() < 0.5:
            for user in USERS:
                claims.elsewhere.add(self.world.fill_key(self.random.choice(TARGETS), user))

    def budget(self) -> None:
        """Let this worker have no room for a moment, in which the app answers."""
        budget = self.world.gate.waits.budget
        taken = 32 * 1024 * 1024 - budget.taken
        budget.take(taken)
        self.app()
        budget.give_back(taken)

    # --- the app

    def app(self) -> None:
        if not self.world.forwards:
            return
        forward = self.random.choice(self.world.forwards)
        if self.random.random() < 0.08:
            self.rest.pop(forward, None)
            forward.fail()
        elif forward in self.rest:
            self.send(forward)
        else:
            self.respond(forward)

    def respond(self, forward: Forward) -> None:
        block = b'ETag: "%d"\r\n' % self.versions[forward.cookie]
        target = forward.exchange.target
        told = b"|".join(
            (forward.cookie, target, forward.language, b"%d" % self.versions[forward.cookie], b"")
        )
        content = told + b"x" * (OBJECT_SIZE if target == b"/large" else 100) + b"|end"
        if block[6:-2] in forward.exchange.extra_lines and target != b"/large":
            forward.respond(status=304, block=block)
            return
        if target == b"/varies":
            block += b"Vary: accept-language\r\n"
        kind = self.random.random()
        if kind < 0.1:
            forward.respond(b"failed", status=503)
            return
        block += b"Set-Cookie: a=b\r\n" if kind < 0.2 else b""
        block += b"Cache-Control: max-age=1, stale-while-revalidate=30\r\n" if kind > 0.8 else b""
        if forward.exchange.method == b"HEAD" or self.random.random() < 0.5:
            forward.respond(b"" if forward.exchange.method == b"HEAD" else content, block=block)
            return
        step = len(content) // PIECES + 1
        pieces = [content[at : at + step] for at in range(0, len(content), step)]
        self.rest[forward] = pieces[1:]
        length = -1 if self.random.random() < 0.5 else len(content)
        forward.respond(pieces[0], block=block, length=length, complete=False)
        if not forward.is_alive:
            self.rest.pop(forward)

    def send(self, forward: Forward) -> None:
        if forward.is_paused:
            return
        pieces = self.rest[forward]
        if pieces:
            forward.send(pieces.pop(0))
        else:
            del self.rest[forward]
            forward.finish()
        if not forward.is_alive:
            self.rest.pop(forward, None)

    # --- the end

    def settle(self) -> None:
        """Let everything that goes on come to its end."""
        claims = self.world.claims
        claims.is_busy = False
        claims.elsewhere.clear()
        for session in self.sessions:
            session.client.then = None
            session.client.pause(is_paused=False)
        for _ in range(2000):
            self.world.pass_time(0.01)
            self.app()
            self.check()
        for session in self.sessions:
            assert session.client.exchange is None, "never answered"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nobody_is_left_behind_and_everything_is_given_back(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(seed, monkeypatch)
    simulation.run(STEPS)
    simulation.settle()
    simulation.world.assert_at_rest()
