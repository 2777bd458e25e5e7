"""Lists of networks in files of their own: one a line, `#` or `;` begins a comment."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from proxy.config.addresses import parse_network
from proxy.config.errors import UnacceptableError
from proxy.config.schema import Network


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line of a list that is no network."""

    number: int
    text: str
    expected: str
    hint: str


def parse_network_list(text: str) -> tuple[tuple[Network, ...], tuple[UnreadableLine, ...]]:
    """Return the networks of a list in its order, and the lines that are none.

    A byte order mark and line ends of other systems are taken. A list with an unreadable line is not to be used:
    a typing error would open a door.
    """
    networks: list[Network] = []
    unreadable: list[UnreadableLine] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        entry = line.partition("#")[0].partition(";")[0].strip()
        if not entry:
            continue
        try:
            networks.append(_network(entry))
        except UnacceptableError as error:
            unreadable.append(UnreadableLine(number, entry, error.expected, error.hint))
    return tuple(networks), tuple(unreadable)


def _network(entry: str) -> Network:
    """Read one entry; the usual ones at a fraction of the cost, since a list may have 100,000."""
    address, slash, prefix = entry.partition("/")
    if not slash or (prefix.isdigit() and len(prefix) <= 3):
        try:
            if ":" not in address:
                return IPv4Network(entry)
            if "%" not in address and "ffff" not in address.lower():
                return IPv6Network(entry)
        except ValueError:
            pass  # parse_network says why
    return parse_network(entry)
