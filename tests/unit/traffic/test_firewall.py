"""Deny wins; a list of whom to allow admits nobody else."""

from ipaddress import ip_address, ip_network

import pytest

from proxy.config import schema
from proxy.traffic.firewall import Firewall


def firewall(allow: str = "", deny: str = "", **lists: str) -> Firewall:
    """Make rules from lists separated by spaces; a name stands for the file of that name."""

    def entries(text: str) -> tuple[schema.Network | str, ...]:
        return tuple(f"file:{word}" if word in lists else ip_network(word) for word in text.split())

    rules = schema.Firewall(allow=entries(allow), deny=entries(deny))
    return Firewall.of(rules, {name: [ip_network(word) for word in lists[name].split()] for name in lists})


def permits(rules: Firewall, text: str) -> bool:
    return rules.permits(ip_address(text).packed)


@pytest.mark.parametrize("text", ["192.0.2.1", "2001:db8::1", "0.0.0.0", "::"])
def test_without_rules_everyone_comes_in(text: str) -> None:
    assert permits(firewall(), text)


def test_who_is_denied_stays_out_and_the_others_come_in() -> None:
    rules = firewall(deny="192.0.2.0/24 2001:db8::/32")
    assert not permits(rules, "192.0.2.77")
    assert not permits(rules, "2001:db8:1::1")
    assert permits(rules, "192.0.3.1")
    assert permits(rules, "2001:db9::1")


def test_with_an_allow_list_nobody_else_comes_in() -> None:
    rules = firewall(allow="192.0.2.0/24")
    assert permits(rules, "192.0.2.1")
    assert not permits(rules, "192.0.3.1")
    assert not permits(rules, "2001:db8::1")


def test_deny_wins_over_allow() -> None:
    rules = firewall(allow="192.0.2.0/24", deny="192.0.2.7")
    assert permits(rules, "192.0.2.6")
    assert not permits(rules, "192.0.2.7")


def test_files_and_networks_count_alike() -> None:
    rules = firewall(allow="192.0.2.0/24 friends", deny="foes", friends="10.0.0.0/8", foes="10.9.0.0/16")
    assert permits(rules, "192.0.2.1")
    assert permits(rules, "10.1.1.1")
    assert not permits(rules, "10.9.1.1")


def test_an_allow_list_whose_file_is_empty_admits_nobody() -> None:
    assert not permits(firewall(allow="friends", friends=""), "192.0.2.1")


def test_a_deny_list_whose_file_is_empty_denies_nobody() -> None:
    assert permits(firewall(deny="foes", foes=""), "192.0.2.1")


def test_a_file_that_was_not_read_is_an_error() -> None:
    with pytest.raises(KeyError, match="gone"):
        Firewall.of(schema.Firewall(deny=("file:gone",)), {})


@pytest.mark.parametrize("spelling", ["::ffff:192.0.2.7/128", "192.0.2.7/32"])
def test_a_mapped_rule_counts_for_the_ipv4_address(spelling: str) -> None:
    assert not permits(firewall(deny=spelling), "192.0.2.7")
