"""Two workers, many users, one app, in every order that a seed can think of: nobody sees another's page or an old one.

Each request is a generator that stops wherever a real one would wait. Every answer of the app names its user, its
page and the version of what it shows; a user who has seen the answer to a write must never get an
older version again (own writes), and never anything that names somebody else.
"""

import os
import random
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from proxy.caching.collapse import Flight, Flights, Join, Phase, Wake
from proxy.caching.front import Freshness, Front, freshness_of
from proxy.caching.identity import Identity, identify
from proxy.caching.key import Pairs
from proxy.caching.layout import SMALLEST
from proxy.caching.policy import Terms, Verdict, judge
from proxy.caching.record import SECOND, Stamp
from proxy.caching.store import CacheDescriptors, Fetched, Found, Store, create_cache
from proxy.config.schema import Cache
from tests.fakes.cache import BASE, RULES, SECRET, SITE, START, WALL

Steps = Generator[None, None, None]
USERS = ("", "alice", "bob", "carol")
PAGES = (b"/list", b"/item", b"/me", b"/login", b"/fails", b"/varies")
AGENTS = (b"desktop", b"phone")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, how, and what the answer must not be older than."""

    user: str
    page: bytes
    agent: bytes
    identity: Identity
    least: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app says; `fields` decide about caching."""

    status: int
    fields: Pairs
    body: bytes


class App:
    """Knows its users by cookie or by key, and counts what each of them has written."""

    def __init__(self) -> None:
        self.versions = dict.fromkeys(USERS, 0)
        self.asked = 0

    def get(self, user: str, page: bytes, agent: bytes) -> Answer:
        self.asked += 1
        shown_agent = agent if page == b"/varies" else b"any"
        body = b"%s %s %s %d" % (user.encode() or b"-", page, shown_agent, self.versions[user])
        control = b"private" if page == b"/me" else b"public"
        fields: list[tuple[bytes, bytes]] = [(b"cache-control", control)]
        if page == b"/login":
            fields.append((b"set-cookie", b"session=" + user.encode()))
        if page == b"/varies":
            fields.append((b"vary", b"user-agent"))
        return Answer(503 if page == b"/fails" else 200, tuple(fields), body)


@dataclass(slots=True)
class Worker:
    """One worker's share of the cache."""

    front: Front
    flights: Flights[Reader]
    woken: dict[Reader, Wake] = field(default_factory=dict)


class World:
    """Everything there is, and a clock."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.app = App()
        self.now = START
        self.seen = dict.fromkeys(USERS, 0)
        self.outcomes: dict[str, int] = {}
        self.descriptors: CacheDescriptors = create_cache(SMALLEST, 1024)
        self.workers = [self._worker() for _ in range(2)]

    def _worker(self) -> Worker:
        memory = os.dup(self.descriptors.memory)
        front = Front(Store(self.descriptors._replace(memory=memory), SECRET))
        return Worker(front, Flights(front.store.invalidations.is_valid))

    def close(self) -> None:
        for worker in self.workers:
            worker.front.store.close()
        for descriptor in self.descriptors:
            os.close(descriptor)

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    # --- requests

    def fields_of(self, user: str, agent: bytes) -> Pairs:
        credential = self.draw.choice(
            [
                ((b"cookie", b"session=%s" % user.encode()),),
                ((b"cookie", b"theme=dark; session=%s; _ga=1" % user.encode()),),
                ((b"x-api-key", b"key of %s" % user.encode()), (b"cookie", b"session=%s" % user.encode())),
            ]
        )
        return (*(credential if user else ()), (b"user-agent", agent))

    def write(self, user: str) -> Steps:
        """Post something, and learn that it is done: from then on it has to be seen."""
        worker = self.draw.choice(self.workers)
        identity = identify(self.fields_of(user, b"x"), RULES)
        target = self.draw.choice((b"/list", b"/item"))
        yield
        self.app.versions[user] += 1
        version = self.app.versions[user]
        yield
        worker.front.store.invalidations.invalidate(SITE, PAGES if not user else [target], identity)
        self.seen[user] = max(self.seen[user], version)

    def read(self, user: str) -> Steps:
        """Ask for a page, and check what comes."""
        worker, page, agent = (
            self.draw.choice(self.workers),
            self.draw.choice(PAGES),
            self.draw.choice(AGENTS),
        )
        identity = identify(self.fields_of(user, agent), RULES)
        reader = Reader(user, page, agent, identity, self.seen[user])
        yield
        while True:
            entry = worker.front.lookup(BASE, page, identity, self.now)
            if entry is not None:
                self.check(reader, entry.body, "front hit")
                return
            found, entry = worker.front.find(BASE, page, identity, self.now)
            if entry is not None and freshness_of(entry.stored, self.now) is Freshness.FRESH:
                self.check(reader, entry.body, "hit")
                return
            wake = yield from self.join(worker, reader, found)
            if wake is None:
                return
            if wake is Wake.UNCACHEABLE:
                yield
                self.check(reader, self.app.get(user, page, agent).body, "by itself")
                return

    def join(self, worker: Worker, reader: Reader, found: Found) -> Generator[None, None, Wake | None]:
        """Lead or follow a flight; None: the request is answered."""

        def begin() -> Stamp:
            return worker.front.store.invalidations.begin(SITE, reader.page, reader.page, reader.identity)

        join, flight = worker.flights.join(found.fill_key, reader, begin)
        if join is Join.OTHER_VARIANT:
            key = worker.front.store.variant_key(found.key, reader.identity, flight.names)
            join, flight = worker.flights.join(key, reader, begin)
        if join is Join.LEAD:
            yield from self.lead(worker, reader, found, flight)
            return None
        while join is Join.WAIT:
            yield
            if reader in worker.woken:
                wake = worker.woken.pop(reader)
                if wake is not Wake.READ_ALONG:
                    return wake
                break
        while flight.phase is not Phase.OVER:
            yield
        self.check(reader, b"".join(flight.content), "collapsed")
        return None

    def lead(self, worker: Worker, reader: Reader, found: Found, flight: Flight[Reader]) -> Steps:
        """Fetch for all who wait."""
        yield
        answer = self.app.get(reader.user, reader.page, reader.agent)
        yield
        verdict = self.judge(answer, reader.identity)
        names = verdict.vary

        def same_variant(other: Reader) -> bool:
            return not names or other.agent == reader.agent

        woken = worker.flights.head(
            flight, storable=verdict.reason is None, length_known=True, names=names, same_variant=same_variant
        )
        worker.woken.update((who, wake) for who, wake in woken if who is not reader)
        if verdict.reason is None:
            half = len(answer.body) // 2
            for part in (answer.body[:half], answer.body[half:]):
                worker.flights.content(flight, part)
                yield
            response = Fetched(
                status=answer.status,
                reason=b"",
                block=b"".join(b"%s: %s\r\n" % line for line in answer.fields),
                body=b"".join(flight.content),
                arrived=self.now,
                verdict=verdict,
                stamp=flight.stamp,
            )
            put = worker.front.store.put(found.key, reader.identity, response, self.now)
            self.count(f"put {put.value}")
            worker.woken.update(worker.flights.finish(flight, Wake.STORED))
        self.check(reader, answer.body, "miss")

    def judge(self, answer: Answer, identity: Identity) -> Verdict:
        return judge(
            answer.status,
            Terms(answer.fields),
            identity=identity,
            rules=RULES,
            settings=Cache(),
            now=WALL,
            length=1,
        )

    def check(self, reader: Reader, body: bytes, outcome: str) -> None:
        """Compare an answer with who got it."""
        user, page, agent, version = body.split(b" ")
        assert user == (reader.user.encode() or b"-"), f"{reader.user} got {body!r} as {outcome}"
        assert page == reader.page
        assert agent in (b"any", reader.agent)
        assert int(version) >= reader.least, f"{reader} got {body!r} as {outcome}"
        self.count(outcome)


def simulate(seed: int, requests: int) -> World:
    """Let requests come and go in an order that the seed decides."""
    world = World(seed)
    draw = world.draw
    running: list[Steps] = []
    try:
        while requests or running:
            if requests and len(running) < 10 and (not running or draw.random() < 0.3):
                requests -= 1
                user = draw.choice(USERS)
                running.append(world.write(user) if draw.random() < 0.05 else world.read(user))
            request = draw.choice(running)
            try:
                next(request)
            except StopIteration:
                running.remove(request)
            world.now += draw.randrange(SECOND // 400)
    finally:
        world.close()
    return world


@pytest.mark.parametrize("seed", range(12))
def test_no_answer_crosses_and_no_own_write_is_missed(seed: int) -> None:
    world = simulate(seed, 1500)
    assert world.outcomes["miss"] > 20
    assert world.outcomes["hit"] + world.outcomes["front hit"] > 50
    assert world.outcomes["collapsed"] > 5
    assert world.outcomes["by itself"] > 5
    assert all(not len(worker.flights) and not worker.woken for worker in world.workers)


def test_writes_do_void_fetches_that_are_on_their_way() -> None:
    outcomes = [simulate(seed, 600).outcomes for seed in range(100, 106)]
    assert sum(outcome.get("put invalidated", 0) for outcome in outcomes) > 0
