"""Seeded simulations of a balancer in front of apps that slow down, die and come back."""

import random
from collections import Counter

import pytest

from proxy.upstream.addresses import TargetKey
from proxy.upstream.balancer import BALANCE_KINDS, Balancer, Member, Target
from proxy.upstream.health import LONGEST_COOLDOWN, FailureStage


def group(count: int, weights: tuple[int, ...] = ()) -> list[Member]:
    keys = [TargetKey(scheme="http", host=f"app{n}", port=80, address=f"10.0.0.{n}") for n in range(count)]
    return [Member(Target(key), weight=weights[n] if weights else 1) for n, key in enumerate(keys)]


def forward(balancer: Balancer, now: float, client: bytes, down: set[str]) -> tuple[str | None, int]:
    """Send one request as the pool does: a failed connect goes on to the next address."""
    tried: list[Target] = []
    while (target := balancer.pick(now, client, tried)) is not None:
        if target.address not in down:
            target.health.succeeded()
            return target.address, len(tried)
        target.health.failed(now, FailureStage.CONNECT, "refused")
        tried.append(target)
    return None, len(tried)


@pytest.mark.parametrize("kind", BALANCE_KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_every_request_is_served_while_one_address_lives(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    members = group(5)
    balancer = Balancer(kind, members)
    addresses = [member.target.address for member in members]
    down: set[str] = set()
    wasted = 0
    for step in range(5000):
        if rng.random() < 0.01:
            down = set(rng.sample(addresses, rng.randrange(len(addresses))))
        client = bytes([10, 0, rng.randrange(256), rng.randrange(256)])
        served, failures = forward(balancer, step * 0.01, client, down)
        assert served is not None
        wasted += failures
    assert wasted < 5000 * 0.1


@pytest.mark.parametrize("kind", BALANCE_KINDS)
def test_an_address_that_came_back_is_used_again_within_the_longest_cooldown(kind: str) -> None:
    rng = random.Random(1)
    members = group(3)
    balancer = Balancer(kind, members)
    gone = members[1].target.address
    now = 0.0
    for step in range(6000):
        now = step * 0.01
        forward(balancer, now, rng.randbytes(4), {gone})
    later = [
        forward(balancer, now + step * 0.01, rng.randbytes(4), set())[0]
        for step in range(int(LONGEST_COOLDOWN * 100) + 200)
    ]
    assert gone in later
    assert gone in later[-100:]


def test_the_load_of_least_connections_follows_speed_and_weight() -> None:
    rng = random.Random(7)
    members = group(3, weights=(2, 1, 1))
    balancer = Balancer("least_connections", members)
    speed = {"10.0.0.0": 1.0, "10.0.0.1": 1.0, "10.0.0.2": 0.25}
    running: list[tuple[float, Target]] = []
    served: Counter[str] = Counter()
    for step in range(20_000):
        now = step * 0.01
        for done in [entry for entry in running if entry[0] <= now]:
            running.remove(done)
            done[1].in_flight -= 1
        target = balancer.pick(now)
        assert target is not None
        target.in_flight += 1
        served[target.address] += 1
        running.append((now + rng.expovariate(8 * speed[target.address]), target))
    assert served["10.0.0.0"] > 1.5 * served["10.0.0.1"] > 3 * served["10.0.0.2"]
    assert all(member.target.in_flight >= 0 for member in members)


def test_clients_spread_by_weight_over_addresses() -> None:
    rng = random.Random(3)
    balancer = Balancer("client_ip", group(4, weights=(1, 1, 2, 4)), key=b"key")
    chosen = Counter(t.address for _ in range(16_000) if (t := balancer.pick(0.0, rng.randbytes(4))))
    for address, weight in (("10.0.0.0", 1), ("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 4)):
        assert chosen[address] == pytest.approx(2000 * weight, rel=0.1)


def test_only_the_clients_of_a_lost_address_move() -> None:
    rng = random.Random(4)
    members = group(5)
    balancer = Balancer("client_ip", members, key=b"key")
    clients = [rng.randbytes(4) for _ in range(2000)]
    before = {client: balancer.pick(0.0, client) for client in clients}
    lost = members[2].target
    balancer.update([member for member in members if member.target is not lost])
    for client in clients:
        if before[client] is lost:
            assert balancer.pick(0.0, client) is not lost
        else:
            assert balancer.pick(0.0, client) is before[client]
    balancer.update(members)
    assert {client: balancer.pick(0.0, client) for client in clients} == before
