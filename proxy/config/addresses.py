"""Addresses: where to listen, whom to forward to, and networks of clients."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Final

from proxy.config.errors import UnacceptableError
from proxy.config.names import parse_host_name
from proxy.config.schema import ListenAddress, Network, UnixAddress, Upstream

_LISTEN: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([0-9]{1,5})")
_AUTHORITY: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:/?#@\[\]]+))(?::([0-9]{1,5}))?/?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?/?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?/?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_SOCKET_PATH: Final = 107  # sun_path of sockaddr_un is 108 octets with its NUL on Linux
TRUSTED_PRESETS: Final = ("cloudflare", "private")

_LISTEN_EXPECTED: Final = 'an address to listen on such as ":80", "127.0.0.1:8080" or "[::1]:8080"'
_UPSTREAM_EXPECTED: Final = (
    'an upstream such as "http://app:3000", "https://app:8443" or "unix:/run/app.sock"'
)
_NETWORK_EXPECTED: Final = 'a network such as "10.0.0.0/8" or "2001:db8::/32"'


def parse_listen(value: object) -> ListenAddress:
    """Return an address to listen on; the host is an IP address or "" for all of both families."""
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UnacceptableError(_LISTEN_EXPECTED, _meant_to_listen(value))
    six, four, port = match[1], match[2], int(match[3])
    if port > 65535:
        raise UnacceptableError("a port of at most 65535")
    try:
        if six is not None:
            return ListenAddress(host=str(IPv6Address(six)), port=port)
        return ListenAddress(host=str(IPv4Address(four)) if four else "", port=port)
    except AddressValueError as error:
        raise UnacceptableError(_LISTEN_EXPECTED, _meant_to_listen(value)) from error


def format_listen(address: ListenAddress) -> str:
    """Write an address to listen on as the file has it."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def parse_metrics(value: object) -> ListenAddress | None:
    """Return an address to listen on, or None for ""."""
    return None if value == "" else parse_listen(value)


def parse_admin(value: object) -> ListenAddress | UnixAddress:
    """Return the address of the admin listener: a unix socket or TCP."""
    expected = 'a unix socket such as "unix:admin.sock", or an address such as "127.0.0.1:9146"'
    if isinstance(value, str) and value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path or "\0" in path or path.endswith("/"):
            raise UnacceptableError(expected, "the path of the socket is missing")
        return UnixAddress(path=path)
    if value == "":
        raise UnacceptableError(expected, "it cannot be switched off: reload, status and certs go through it")
    try:
        return parse_listen(value)
    except UnacceptableError as error:
        raise UnacceptableError(expected, error.hint) from error


def socket_path_fits(path: str) -> bool:
    """Tell whether a unix socket can have this path at all."""
    return len(path.encode(errors="surrogateescape")) <= _LONGEST_SOCKET_PATH


def parse_upstream(value: object) -> Upstream:
    """Return one upstream address from its URL form."""
    if not isinstance(value, str):
        raise UnacceptableError(_UPSTREAM_EXPECTED)
    if value.startswith("unix:"):
        return _unix_upstream(value)
    match = _SCHEME.match(value)
    scheme = match[1].lower() if match else ""
    rest = value[match.end() :] if match else value
    if scheme not in _DEFAULT_PORTS:
        raise UnacceptableError(_UPSTREAM_EXPECTED, _meant_to_forward(scheme, rest))
    authority = _AUTHORITY.fullmatch(rest)
    if authority is None:
        raise UnacceptableError(_UPSTREAM_EXPECTED, _what_a_url_has_too_much(rest))
    port = int(authority[3]) if authority[3] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise UnacceptableError("a port between 1 and 65535")
    host = _upstream_host(authority[1], authority[2])
    return Upstream(scheme="https" if scheme == "https" else "http", host=host, port=port)


def format_upstream(upstream: Upstream) -> str:
    """Write an upstream as a URL, its port only where it is not the scheme's."""
    if upstream.scheme == "unix":
        return f"unix:{upstream.path}"
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    port = "" if upstream.port == _DEFAULT_PORTS[upstream.scheme] else f":{upstream.port}"
    return f"{upstream.scheme}://{host}{port}"


def parse_network(value: object) -> Network:
    """Return a network in CIDR form; a bare address is a network of one."""
    if not isinstance(value, str):
        raise UnacceptableError(_NETWORK_EXPECTED)
    length = value.partition("/")[2]
    if "/" in value and not (length.isascii() and length.isdigit() and len(length) <= 3):
        raise UnacceptableError(_NETWORK_EXPECTED, "write the prefix length, not a mask")
    try:
        loose = ip_network(value, strict=False)
        network = ip_network(value, strict=True)
    except ValueError as error:
        hint = f'did you mean "{loose}"?' if "host bits" in str(error) else ""
        raise UnacceptableError(_NETWORK_EXPECTED, hint) from error
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        mapped = network.network_address.ipv4_mapped
        hint = f'did you mean "{mapped}/{network.prefixlen - 96}"?' if network.prefixlen >= 96 else ""
        raise UnacceptableError("a plain IPv4 network", hint)
    if isinstance(network, IPv6Network) and network.network_address.scope_id is not None:
        raise UnacceptableError("a network without a zone")
    return network


def parse_trusted(value: object) -> Network | str:
    """Return a network, or the name of a preset."""
    if isinstance(value, str) and value in TRUSTED_PRESETS:
        return value
    try:
        return parse_network(value)
    except UnacceptableError as error:
        raise UnacceptableError(f'{error.expected}, or "cloudflare" or "private"', error.hint) from error


def parse_firewall_entry(value: object) -> Network | str:
    """Return a network, or "file:PATH" for a list of them."""
    if isinstance(value, str) and value.startswith("file:"):
        if not value.removeprefix("file:") or "\0" in value:
            raise UnacceptableError('a list such as "file:blocked.txt"')
        return value
    try:
        return parse_network(value)
    except UnacceptableError as error:
        raise UnacceptableError(f'{error.expected}, or "file:PATH" for a list', error.hint) from error


def _upstream_host(six: str | None, name: str) -> str:
    try:
        if six is not None:
            return str(IPv6Address(six))
        return parse_host_name(name) if not name.rpartition(".")[2].isdigit() else str(IPv4Address(name))
    except (AddressValueError, UnacceptableError) as error:
        hint = error.hint if isinstance(error, UnacceptableError) else f"{six or name} is not an IP address"
        raise UnacceptableError(_UPSTREAM_EXPECTED, hint) from error


def _unix_upstream(value: str) -> Upstream:
    path = value.removeprefix("unix:")
    if path.startswith("//"):
        raise UnacceptableError(
            'a socket such as "unix:/run/app.sock"', f'did you mean "unix:/{path.lstrip("/")}"?'
        )
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise UnacceptableError('a socket by its absolute path, such as "unix:/run/app.sock"')
    if not socket_path_fits(path):
        raise UnacceptableError(
            f"a path of at most {_LONGEST_SOCKET_PATH} bytes, which is what unix sockets allow"
        )
    return Upstream(scheme="unix", path=path)


def _meant_to_listen(value: object) -> str:
    text = str(value) if isinstance(value, str) or (type(value) is int and 0 <= value <= 65535) else ""
    if re.fullmatch(r"[0-9]{1,5}|\*:[0-9]{1,5}", text):
        return f'did you mean ":{text.removeprefix("*:")}"?'
    if text.startswith("localhost:"):
        return f'did you mean "127.0.0.1:{text.partition(":")[2]}"?'
    host, _, port = text.rpartition(":")
    if host.count(":") >= 1 and port.isdigit():
        return f'did you mean "[{host.strip("[]")}]:{port}"?'
    if re.fullmatch(r"[0-9.]+", text) and text.count(".") == 3:
        return "the port is missing"
    return "names are not resolved here: write an IP address" if re.match(r"[A-Za-z]", host) else ""


def _meant_to_forward(scheme: str, rest: str) -> str:
    if scheme in ("ws", "wss"):
        plain = "https" if scheme == "wss" else "http"
        return f'did you mean "{plain}://{rest}"? WebSockets need no scheme of their own'
    if scheme in ("h2c", "grpc", "grpcs", "h2"):
        return "upstreams are spoken to in HTTP/1.1"
    if not scheme and rest.startswith("/"):
        return f'did you mean "unix:{rest}"?'
    return f'did you mean "http://{rest}"?' if not scheme and _HOST_AND_PORT.fullmatch(rest) else ""


def _what_a_url_has_too_much(rest: str) -> str:
    if rest.startswith("unix:"):
        return f'did you mean "{rest.split(":/", 2)[0]}:/{rest.partition(":/")[2].rstrip(":/")}"?'
    if "@" in rest:
        return "an upstream has no user name; set an Authorization field with set_request_headers"
    if "?" in rest or "#" in rest:
        return "an upstream has no query and no fragment"
    if "/" in rest:
        return "an upstream has no path: the path of the request is forwarded as it came"
    return ""
