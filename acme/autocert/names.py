"""Check, compare and group the names that certificates are for."""

import hashlib
import ipaddress
import re

from autocert.suffixes import FURTHER, SECOND_LEVEL

# Letters, digits, hyphens and (seen in the wild, served by some private CAs) underscores; A-labels only.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
# RFC 6761, 6762, 7686, 8375, 9476, ICANN's reservation of .internal, and what home routers hand out.
_PRIVATE = (
    "localhost local internal intranet private test example invalid onion alt lan home corp mail domain "
    "localdomain arpa"
)
_PRIVATE_SUFFIXES = frozenset(_PRIVATE.split())
_LONGEST_FOLDER = 180


class BadNameError(ValueError):
    """A name that no certificate can be made for."""


def is_address(name: str) -> bool:
    """Tell whether the name is an IP address in its plain form."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_global_address(name: str) -> bool:
    """Tell whether the name is an IP address that the whole internet can reach."""
    return is_address(name) and ipaddress.ip_address(name).is_global


def normalise(name: str) -> str:
    """Return the name in lower case, without a trailing dot, an address in its shortest form.

    Raises BadNameError for anything that is neither a host name of A-labels nor an IP address.
    """
    lowered = name.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    if is_address(lowered):
        return str(ipaddress.ip_address(lowered))
    if len(lowered) > 253 or not lowered or not all(_LABEL.match(label) for label in lowered.split(".")):
        raise BadNameError(f"{name!r} is not a host name; write it in ASCII (xn--...) without a wildcard")
    return lowered


def served_by_public_ca(name: str) -> bool:
    """Tell whether a public CA can know the name at all; else the local CA serves it."""
    if is_address(name) or "." not in name:
        return False
    return name.rsplit(".", 1)[1] not in _PRIVATE_SUFFIXES


def registered_domain(name: str) -> str:
    """Return the domain that CAs count certificates by, or a wider one, never a narrower (ADR 0010)."""
    if is_address(name):
        return name
    labels = name.split(".")
    for start in range(len(labels)):
        suffix = labels[start:]
        if _is_suffix(suffix):
            return ".".join(labels[max(start - 1, 0) :])
    return name


def _is_suffix(labels: list[str]) -> bool:
    if len(labels) == 1:
        return True
    if len(labels) == 2 and labels[1] in SECOND_LEVEL.get(labels[0], "").split():
        return True
    return ".".join(labels) in FURTHER


def identifier(names: tuple[str, ...]) -> str:
    """Return the folder name of a set of names: readable, unique per set, safe in any file system.

    Names have passed `normalise` (or are "*"), so neither a slash nor a leading dot can occur.
    """
    plain = names[0].replace(":", "_").replace("*", "any")
    if len(names) == 1 and plain == names[0] and len(plain) <= _LONGEST_FOLDER:
        return plain
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
    return f"{plain[:_LONGEST_FOLDER]}~{digest}"
