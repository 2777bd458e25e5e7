"""allow and deny against nginx's own rule: the first match wins, and who matches nothing gets in."""

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.importing.draft import Notes, Outcome, Table
from proxy.importing.nginx.access import firewall
from proxy.importing.nginx.tree import Directive
from proxy.importing.repair import CLOSED


def _rules(text: str) -> list[Directive]:
    words = [rule.split() for rule in text.split(";") if rule.strip()]
    return [Directive(name, (what,), "f", number) for number, (name, what) in enumerate(words, 1)]


def _firewall(text: str) -> Table:
    return firewall(_rules(text), Notes())


@pytest.mark.parametrize(
    ("text", "allow", "deny"),
    [
        ("deny all", [], ["0.0.0.0/0", "::/0"]),
        ("allow 10.0.0.0/8; deny all", ["10.0.0.0/8"], []),
        ("deny 192.0.2.1", [], ["192.0.2.1/32"]),
        ("deny 192.0.2.1; allow all", [], ["192.0.2.1/32"]),
        ("allow 10.0.0.0/31; deny 10.0.0.0/30", [], ["10.0.0.2/31"]),
        ("deny 10.0.0.1; allow 10.0.0.0/31; deny all", ["10.0.0.0/32"], []),
        ("allow 2001:db8::/32; allow 10.1.2.3/8; deny all", ["2001:db8::/32", "10.0.0.0/8"], []),
        ("allow all; deny 10.0.0.1", [], []),
    ],
)
def test_rules(text: str, allow: list[str], deny: list[str]) -> None:
    assert _firewall(text) == {"allow": allow, "deny": deny}


def test_what_is_not_understood_admits_nobody() -> None:
    notes = Notes()
    assert firewall(_rules("allow unix:; deny all"), notes) == CLOSED
    assert len(notes.of(Outcome.LEFT_OUT)) == 1


_SMALL = st.builds(
    lambda number, length: str(ip_network((0x0A000000 + number, length), strict=False)),
    st.integers(0, 63),
    st.integers(26, 32),
)
_RULE = st.tuples(st.sampled_from(("allow", "deny")), _SMALL | st.just("all"))


def _nginx_admits(rules: list[tuple[str, str]], client: IPv4Address) -> bool:
    for name, what in rules:
        if what == "all" or client in ip_network(what):
            return name == "allow"
    return True


@given(st.lists(_RULE, min_size=1, max_size=6))
def test_the_same_clients_get_in_as_with_nginx(rules: list[tuple[str, str]]) -> None:
    found = _firewall(";".join(f"{name} {what}" for name, what in rules))
    allow, deny = ([IPv4Network(n) for n in found[key] if ":" not in n] for key in ("allow", "deny"))
    for number in range(0, 66, 3):
        client = ip_address(0x0A000000 + number)
        assert isinstance(client, IPv4Address)
        admitted = (not found["allow"] or any(client in n for n in allow)) and not any(
            client in n for n in deny
        )
        assert admitted == _nginx_admits(rules, client), client
