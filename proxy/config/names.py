"""Domain names: normal form, and which of them a public CA serves."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

import idna

from proxy.config.errors import UnacceptableError
from proxy.config.schema import LETSENCRYPT_DIRECTORIES

_EXPECTED: Final = 'a domain name such as "app.example.com"'
_PATTERN_CHARACTERS: Final = frozenset("^$()|\\+?{}~*")
_LONGEST: Final = 253  # RFC 1035 section 2.3.4: 255 octets on the wire, less the first length and the root

# Names that end so are no public CA's: RFC 2606, 6761, 6762, 7686, 8375, 9476, ICANN's .internal, and the ones that
# home and office routers hand out. autocert, which acts on it, has the same; a test compares the two.
_PRIVATE_ENDINGS: Final = frozenset(
    (
        *("localhost", "local", "internal", "test", "example", "invalid", "onion", "arpa", "alt"),
        *("lan", "home", "corp", "mail", "domain", "intranet", "private", "localdomain"),
    )
)
#: The one profile with which Let's Encrypt serves addresses.
_FOR_ADDRESSES: Final = "shortlived"


def parse_domain(value: object) -> str:
    """Return a name in the form that requests are compared with: lower-case A-labels, no trailing dot.

    IP addresses stand as in a URL (IPv6 in brackets); "*" stays as it is.
    """
    if not isinstance(value, str):
        raise UnacceptableError(_EXPECTED)
    if value == "*":
        return value
    _refuse_what_is_more_than_a_name(value)
    literal = _ip_literal(value)
    return literal or parse_host_name(value)


def parse_host_name(value: str) -> str:
    """Return a host name as lower-case A-labels without a trailing dot (IDNA 2008, mapped as UTS 46 says).

    Underscores are allowed: containers have them in their names.
    """
    if len(value) > 4 * _LONGEST:
        raise UnacceptableError(_EXPECTED, "the name is too long")
    text = value.lower() if value.isascii() else value
    try:
        # The underscore is outside IDNA; another letter in its place lets the library check all the rest.
        checked = idna.encode(
            text.replace("_", "a") if text.isascii() and "xn--" not in text else text,
            uts46=True,
            std3_rules=True,
        )
    except UnicodeError as error:
        raise UnacceptableError(_EXPECTED, _reason(error)) from error
    name = (text if text.isascii() else checked.decode("ascii")).removesuffix(".")
    if name.rpartition(".")[2].isdigit():
        raise UnacceptableError("a domain name or a whole IP address")
    return name


def _reason(error: UnicodeError) -> str:
    """Say in a few words what the IDNA library complains about."""
    reason = str(error).rstrip(".").replace("Label", "label")
    code_point = re.search(r"U\+[0-9A-F]{4,6}", reason)
    if code_point:
        return f"the character {code_point[0]} cannot be in it"
    return reason[:1].lower() + reason[1:]


def is_ip_literal(name: str) -> bool:
    """Tell whether a normalised name is an IP address."""
    return name.startswith("[") or name.rpartition(".")[2].isdigit()


def uses_letsencrypt(directory: str) -> bool:
    """Tell whether a directory, by short name or URL, is one of Let's Encrypt's."""
    return directory in LETSENCRYPT_DIRECTORIES or directory in LETSENCRYPT_DIRECTORIES.values()


def needs_local_ca(name: str, directory: str, profile: str) -> bool:
    """Tell whether a name gets its certificate from the local CA, because the directory would never serve it.

    Only Let's Encrypt is known that well; any other directory is simply asked.
    """
    if not uses_letsencrypt(directory) or name == "*":
        return False
    if is_ip_literal(name):
        return profile != _FOR_ADDRESSES or not ip_address(name.strip("[]")).is_global
    return "." not in name or name.rpartition(".")[2] in _PRIVATE_ENDINGS


def _ip_literal(text: str) -> str:
    """Return an IP address as it stands in a URL, or "" for what is none."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        pass
    try:
        address = IPv6Address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except AddressValueError:
        return ""
    if address.scope_id is not None:
        raise UnacceptableError("an IP address without a zone")
    return f"[{address.compressed}]"


def _refuse_what_is_more_than_a_name(text: str) -> None:
    """Catch URLs, ports, wildcards and patterns, with a hint that fits each."""
    if not text:
        raise UnacceptableError(_EXPECTED, 'write ["*"] for any name')
    bare = text.strip().partition("://")[2] or text.strip()
    bare = re.split(r"[/?#]", bare, maxsplit=1)[0]
    if text.startswith(("*.", ".")) and len(text) > 2:
        name = text.lstrip("*.")
        raise UnacceptableError(
            'an exact name, or ["*"] for any',
            f'wildcards need a DNS challenge: list each name, such as "www.{name}"',
        )
    if _PATTERN_CHARACTERS & set(bare):
        raise UnacceptableError(
            'an exact name, or ["*"] for any', "patterns are not supported: list each name"
        )
    without_port = re.sub(r":[0-9]*$", "", bare) if bare.count(":") == 1 or "]:" in bare else bare
    if without_port != text and without_port:
        raise UnacceptableError("a name alone", f'did you mean "{without_port}"?')
