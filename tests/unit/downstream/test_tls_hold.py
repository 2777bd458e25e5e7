"""The caps on handshakes that wait."""

import pytest

from proxy.downstream.tls_hold import HeldConnections


def test_one_address_may_hold_so_many_and_no_more() -> None:
    held = HeldConnections(per_address=2, in_all=100)
    keys = [held.enter("192.0.2.1"), held.enter("192.0.2.1")]
    assert held.enter("192.0.2.1") is None
    assert held.enter("192.0.2.2") is not None
    held.leave(str(keys[0]))
    assert held.enter("192.0.2.1") is not None
    assert held.total == 3


def test_all_together_may_hold_so_many_and_no_more() -> None:
    held = HeldConnections(per_address=2, in_all=3)
    assert [held.enter(f"192.0.2.{number}") is None for number in range(4)] == [False, False, False, True]


def test_nothing_is_kept_of_who_has_left() -> None:
    held = HeldConnections(per_address=1, in_all=1)
    for number in range(1000):
        key = held.enter(f"192.0.{number // 256}.{number % 256}")
        assert key is not None
        held.leave(key)
    assert held == HeldConnections(per_address=1, in_all=1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
    ],
)
def test_ipv6_clients_count_by_their_network(one: str, other: str, same: bool) -> None:
    held = HeldConnections(per_address=1, in_all=10)
    assert held.enter(one) is not None
    assert (held.enter(other) is None) is same
