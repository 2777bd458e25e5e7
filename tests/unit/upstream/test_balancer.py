from collections import Counter

import pytest

from proxy.upstream.addresses import TargetKey
from proxy.upstream.balancer import BALANCE_KINDS, Balancer, Member, Target
from proxy.upstream.health import FailureStage

NOW = 1000.0


def target(name: str, host: str = "app") -> Target:
    return Target(TargetKey(scheme="http", host=host, port=3000, address=name))


def members(*names: str, weight: int = 1, backup: bool = False) -> list[Member]:
    return [Member(target(name), weight=weight, backup=backup) for name in names]


def fail(member: Member, now: float = NOW) -> None:
    member.target.health.failed(now, FailureStage.CONNECT, "refused")


def picks(balancer: Balancer, count: int, now: float = NOW) -> Counter[str]:
    chosen = (balancer.pick(now) for _ in range(count))
    return Counter(t.address for t in chosen if t is not None)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="least_connections, round_robin, client_ip"):
        Balancer("random")


@pytest.mark.parametrize("kind", BALANCE_KINDS)
class TestEveryKind:
    def test_nothing_to_choose_from(self, kind: str) -> None:
        balancer = Balancer(kind)
        assert balancer.pick(NOW) is None
        assert len(balancer) == 0

    def test_the_only_address_is_never_taken_out(self, kind: str) -> None:
        only = members("10.0.0.1")
        balancer = Balancer(kind, only)
        fail(only[0])
        assert balancer.pick(NOW) is only[0].target

    def test_the_only_address_can_be_excluded(self, kind: str) -> None:
        only = members("10.0.0.1")
        assert Balancer(kind, only).pick(NOW, exclude={only[0].target}) is None

    def test_unhealthy_addresses_are_skipped(self, kind: str) -> None:
        group = members("10.0.0.1", "10.0.0.2", "10.0.0.3")
        fail(group[0])
        balancer = Balancer(kind, group)
        for client in range(50):
            assert balancer.pick(NOW, bytes([10, 0, 0, client])) is not group[0].target

    def test_backups_serve_only_while_no_primary_is_healthy(self, kind: str) -> None:
        primaries, backups = members("10.0.0.1", "10.0.0.2"), members("10.0.9.1", backup=True)
        balancer = Balancer(kind, [*backups, *primaries])
        assert balancer.pick(NOW) in {m.target for m in primaries}
        for member in primaries:
            fail(member)
        assert balancer.pick(NOW) is backups[0].target
        primaries[1].target.health.succeeded()
        assert balancer.pick(NOW) is primaries[1].target

    def test_when_all_are_unhealthy_the_primaries_are_tried_again(self, kind: str) -> None:
        primaries, backups = members("10.0.0.1", "10.0.0.2"), members("10.0.9.1", backup=True)
        balancer = Balancer(kind, primaries + backups)
        for member in primaries + backups:
            fail(member)
        assert balancer.pick(NOW) in {m.target for m in primaries}

    def test_a_retry_goes_on_to_the_next_and_never_back(self, kind: str) -> None:
        primaries, backups = members("10.0.0.1", "10.0.0.2"), members("10.0.9.1", backup=True)
        balancer = Balancer(kind, primaries + backups)
        tried: list[Target] = []
        while (chosen := balancer.pick(NOW, b"\x0a\x00\x00\x01", tried)) is not None:
            chosen.health.failed(NOW, FailureStage.CONNECT, "refused")
            tried.append(chosen)
        assert len(tried) == 3
        assert tried[-1] is backups[0].target

    def test_one_trial_at_a_time_after_a_cooldown(self, kind: str) -> None:
        group = members("10.0.0.1", "10.0.0.2")
        fail(group[0])
        balancer = Balancer(kind, group)
        later = group[0].target.health.blocked_until
        chosen = [balancer.pick(later, bytes([client, 0, 0, 1])) for client in range(64)]
        assert chosen.count(group[0].target) == 1

    def test_an_update_keeps_the_state_of_addresses_that_stay(self, kind: str) -> None:
        group = members("10.0.0.1", "10.0.0.2")
        group[0].target.in_flight = 3
        balancer = Balancer(kind, group)
        balancer.update([Member(group[0].target), *members("10.0.0.3")])
        assert [m.target.address for m in balancer.members] == ["10.0.0.1", "10.0.0.3"]
        assert balancer.members[0].target.in_flight == 3
        balancer.update([])
        assert balancer.pick(NOW) is None


class TestLeastConnections:
    def test_the_least_loaded_is_chosen(self) -> None:
        group = members("10.0.0.1", "10.0.0.2", "10.0.0.3")
        for member, load in zip(group, (2, 1, 2), strict=True):
            member.target.in_flight = load
        assert Balancer("least_connections", group).pick(NOW) is group[1].target

    def test_weight_divides_the_load(self) -> None:
        heavy, light = Member(target("10.0.0.1"), weight=4), Member(target("10.0.0.2"), weight=1)
        heavy.target.in_flight, light.target.in_flight = 3, 1
        assert Balancer("least_connections", [heavy, light]).pick(NOW) is heavy.target

    def test_equals_take_turns(self) -> None:
        balancer = Balancer("least_connections", members("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        assert picks(balancer, 30) == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}


class TestRoundRobin:
    def test_weights_are_spread_smoothly(self) -> None:
        group = [Member(target("a"), weight=5), Member(target("b")), Member(target("c"))]
        balancer = Balancer("round_robin", group)
        order = "".join(chosen.address for _ in range(7) if (chosen := balancer.pick(NOW)) is not None)
        assert order == "aabacaa"

    def test_load_does_not_matter(self) -> None:
        group = members("10.0.0.1", "10.0.0.2")
        group[0].target.in_flight = 100
        assert picks(Balancer("round_robin", group), 10) == {"10.0.0.1": 5, "10.0.0.2": 5}

    def test_an_update_does_not_start_the_round_anew(self) -> None:
        group = members("10.0.0.1", "10.0.0.2")
        balancer = Balancer("round_robin", group)
        first = balancer.pick(NOW)
        balancer.update([Member(member.target) for member in group])
        assert balancer.pick(NOW) is not first


class TestClientAddress:
    def test_a_client_stays_where_it_is(self) -> None:
        balancer = Balancer("client_ip", members("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        chosen = {balancer.pick(NOW, b"\xc0\x00\x02\x07") for _ in range(20)}
        assert len(chosen) == 1

    def test_workers_with_the_same_key_agree(self) -> None:
        one = Balancer("client_ip", members("10.0.0.1", "10.0.0.2"), key=b"secret")
        other = Balancer("client_ip", members("10.0.0.1", "10.0.0.2"), key=b"secret")
        for client in range(100):
            chosen, same = (b.pick(NOW, bytes([192, 0, 2, client])) for b in (one, other))
            assert chosen is not None
            assert same is not None
            assert chosen.address == same.address

    def test_the_key_decides(self) -> None:
        group = members("10.0.0.1", "10.0.0.2")
        one, other = Balancer("client_ip", group, key=b"1"), Balancer("client_ip", group, key=b"2")
        chosen = {}
        for balancer, key in ((one, 1), (other, 2)):
            balancer.update(group)
            chosen[key] = [balancer.pick(NOW, bytes([192, 0, 2, client])) for client in range(64)]
        assert chosen[1] != chosen[2]

    def test_an_ipv6_client_counts_by_its_network(self) -> None:
        balancer = Balancer("client_ip", members("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        network = b"\x20\x01\x0d\xb8\x00\x00\x00\x07"
        chosen = {balancer.pick(NOW, network + bytes([7, 0, 0, 0, 0, 0, 0, host])) for host in range(50)}
        assert len(chosen) == 1

    def test_a_mapped_ipv4_client_counts_as_ipv4(self) -> None:
        balancer = Balancer("client_ip", members("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        for client in range(30):
            address = bytes([192, 0, 2, client])
            assert balancer.pick(NOW, address) is balancer.pick(NOW, bytes(10) + b"\xff\xff" + address)

    def test_a_name_that_comes_back_with_another_address_keeps_its_clients(self) -> None:
        stays = Member(target("10.0.0.1", "one"), identity="one")
        leaves, returns = (
            Member(target(address, "two"), identity="two") for address in ("10.0.0.2", "10.0.0.9")
        )
        balancer = Balancer("client_ip", [stays, leaves])
        clients = [bytes([192, 0, 2, client]) for client in range(64)]
        before = [balancer.pick(NOW, client) for client in clients]
        balancer.update([stays, returns])
        after = [balancer.pick(NOW, client) for client in clients]
        assert [chosen is stays.target for chosen in before] == [chosen is stays.target for chosen in after]


class TestAlternate:
    def test_it_is_of_the_other_family_of_the_same_name(self) -> None:
        four, six, stranger = target("10.0.0.1"), target("fd00::1"), target("fd00::2", "other")
        balancer = Balancer("round_robin", [Member(stranger), Member(four), Member(six)])
        assert balancer.alternate(four, NOW) is six
        assert balancer.alternate(six, NOW) is four
        assert balancer.alternate(stranger, NOW) is None

    def test_it_is_healthy_and_not_excluded(self) -> None:
        four, six = Member(target("10.0.0.1")), Member(target("fd00::1"))
        balancer = Balancer("round_robin", [four, six])
        assert balancer.alternate(four.target, NOW, {six.target}) is None
        fail(six)
        assert balancer.alternate(four.target, NOW) is None
