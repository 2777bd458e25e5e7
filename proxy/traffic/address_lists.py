"""Lists of addresses in files: one address or network a line, as `file:PATH` in the configuration names
them."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from proxy.config.schema import Network

FILE_PREFIX: Final = "file:"
MOST_FAULTS: Final = 20
_LONGEST_SHOWN: Final = 60
_EXPECTED: Final = "expected one address or network a line, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32"


@dataclass(frozen=True, slots=True)
class ListFault:
    """A line that is no address and no network, counted from 1, and what to do about it."""

    line: int
    found: str
    hint: str


@dataclass(frozen=True, slots=True)
class AddressList:
    """What a file holds; a list with faults is not to be used, or a typing error would open a door."""

    networks: tuple[Network, ...]
    faults: tuple[ListFault, ...]


def listed_files(entries: Iterable[Network | str]) -> tuple[str, ...]:
    """Name the files that a configuration's list refers to, in order."""
    return tuple(entry.removeprefix(FILE_PREFIX) for entry in entries if isinstance(entry, str))


def parse_address_list(text: str) -> AddressList:
    """Read a list: blank lines and what follows `#` or `;` are left out; at most 20 faults are reported."""
    networks: list[Network] = []
    faults: list[ListFault] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        entry = line.partition("#")[0].partition(";")[0].strip()
        if not entry:
            continue
        try:
            networks.append(ip_network(entry))
        except ValueError:
            faults.append(ListFault(number, entry[:_LONGEST_SHOWN], _hint(entry)))
            if len(faults) == MOST_FAULTS:
                break
    return AddressList(tuple(networks), tuple(faults))


def _hint(entry: str) -> str:
    """Say what the writer may have meant."""
    try:
        return f"the address has bits beyond the prefix; did you mean {ip_network(entry, strict=False)}?"
    except ValueError:
        pass
    address, _, prefix = entry.partition("/")
    try:
        ip_address(address)
    except ValueError:
        return _EXPECTED
    return f"/{prefix} is no prefix length of {address}" if prefix.isalnum() else _EXPECTED
