"""nginx's allow and deny, where the first match wins, as networks to admit and networks to refuse."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from proxy.importing.draft import Notes, Table
from proxy.importing.nginx.tree import Directive
from proxy.importing.repair import CLOSED

_Network: TypeAlias = IPv4Network | IPv6Network
_MOST_NETWORKS: Final = 5000


def firewall(rules: Sequence[Directive], notes: Notes) -> Table:
    """Return [firewall] for a sequence of rules; what cannot be understood is refused, not admitted."""
    admitted: list[_Network] = []
    refused: list[_Network] = []
    for rule in rules:
        if rule.first == "all":
            return (
                _closed_by_default(admitted)
                if rule.name == "deny"
                else _open_by_default(refused, rule, notes)
            )
        try:
            network = ip_network(rule.first, strict=False)
        except ValueError:
            notes.left_out(
                rule.place, rule.text, "not a network; if it admitted somebody, they are refused now"
            )
            continue
        # What an earlier rule has decided stays decided.
        earlier = refused if rule.name == "allow" else admitted
        (admitted if rule.name == "allow" else refused).extend(_without(network, earlier))
        if len(admitted) + len(refused) > _MOST_NETWORKS:
            notes.left_out(
                rule.place, rule.text, "too many rules; the way is closed to everybody until you list them"
            )
            return dict(CLOSED)
    return _open_by_default(refused, rules[-1], notes)


def _closed_by_default(admitted: list[_Network]) -> Table:
    return {"allow": [str(network) for network in admitted], "deny": []} if admitted else dict(CLOSED)


def _open_by_default(refused: list[_Network], rule: Directive, notes: Notes) -> Table:
    if not refused:
        notes.needless(rule.place, rule.text, "nobody is refused anyway")
    return {"allow": [], "deny": [str(network) for network in refused]}


def _without(network: _Network, others: Iterable[_Network]) -> list[_Network]:
    """Return what is left of a network outside of some others."""
    left: list[_Network] = [network]
    for other in others:
        kept: list[_Network] = []
        for part in left:
            kept += _difference(part, other)
        left = kept
    return left


def _difference(network: _Network, other: _Network) -> list[_Network]:
    if isinstance(network, IPv4Network) and isinstance(other, IPv4Network):
        if network.subnet_of(other):
            return []
        return list(network.address_exclude(other)) if other.subnet_of(network) else [network]
    if isinstance(network, IPv6Network) and isinstance(other, IPv6Network):
        if network.subnet_of(other):
            return []
        return list(network.address_exclude(other)) if other.subnet_of(network) else [network]
    return [network]
