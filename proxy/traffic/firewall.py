"""Who may come in at all, by address.

A set of rules permits an address that its `deny` list does not name and, where its `allow` list is not
empty, that this list names: deny wins over allow, whatever the order in the file. The proxy's own rules
come first and hold for every site; then come those of the route, which it has from its site when it states
none itself. An address has to pass both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from proxy.config import schema
from proxy.config.schema import Network
from proxy.traffic.address_ranges import AddressRanges

FILE_PREFIX: Final = "file:"


@dataclass(frozen=True, slots=True)
class Firewall:
    """One set of rules, ready for lookups whose cost does not depend on the number of rules."""

    allow: AddressRanges
    deny: AddressRanges
    # True where the configuration has an allow list: one whose file is empty admits nobody, not everybody.
    restricted: bool

    @classmethod
    def of(cls, rules: schema.Firewall, lists: Mapping[str, Iterable[Network]]) -> "Firewall":
        """Build it from the configuration and the networks in its files, by path.

        Raises KeyError for a file that is not in `lists`.
        """
        return cls(
            AddressRanges.of(_expand(rules.allow, lists)),
            AddressRanges.of(_expand(rules.deny, lists)),
            rules.allow != (),
        )

    def permits(self, packed: bytes) -> bool:
        """Tell whether an address of 4 or 16 octets may come in."""
        if self.deny and packed in self.deny:
            return False
        return not self.restricted or packed in self.allow


#: All the rules of a configuration, made ready.
Firewalls: TypeAlias = Mapping[schema.Firewall, Firewall]
NO_RULES: Final[Firewalls] = {}


def firewalls_of(config: schema.Config, lists: Mapping[str, Iterable[Network]]) -> Firewalls:
    """Make every set of rules in a configuration ready, each once; raises KeyError as `Firewall.of`."""
    stated = [config.firewall, *(route.firewall for site in config.sites for route in site.routes)]
    return {rules: Firewall.of(rules, lists) for rules in dict.fromkeys(stated) if rules.allow or rules.deny}


def listed_files(config: schema.Config) -> tuple[str, ...]:
    """Name the files that the rules of a configuration refer to, each once."""
    stated = [config.firewall, *(route.firewall for site in config.sites for route in site.routes)]
    entries = (entry for rules in dict.fromkeys(stated) for entry in (*rules.allow, *rules.deny))
    named = (entry.removeprefix(FILE_PREFIX) for entry in entries if isinstance(entry, str))
    return tuple(dict.fromkeys(named))


def _expand(entries: Iterable[Network | str], lists: Mapping[str, Iterable[Network]]) -> Iterable[Network]:
    for entry in entries:
        if isinstance(entry, str):
            yield from lists[entry.removeprefix(FILE_PREFIX)]
        else:
            yield entry
