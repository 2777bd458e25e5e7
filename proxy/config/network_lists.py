"""Lists of networks in files of their own: one a line, `#` begins a comment."""

from dataclasses import dataclass

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
    """Return the networks of a list in its order, and the lines that are none."""
    networks: list[Network] = []
    unreadable: list[UnreadableLine] = []
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            networks.append(parse_network(entry))
        except UnacceptableError as error:
            unreadable.append(UnreadableLine(number, entry, error.expected, error.hint))
    return tuple(networks), tuple(unreadable)
