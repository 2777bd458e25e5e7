"""Values of nginx directives: times, sizes, rates, addresses, variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.config.quantities import format_duration, format_size

_TIME_PART: Final = re.compile(r"([0-9]{1,10})(ms|[smhdwMy]?)")
_TIME: Final = re.compile(r"(?:[0-9]{1,10}(?:ms|[smhdwMy]?) ?)+")
_MILLISECONDS: Final = {
    "ms": 1,
    "": 1000,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "M": 2_592_000_000,
    "y": 31_536_000_000,
}
_SIZE: Final = re.compile(r"([0-9]{1,15})([kKmMgG]?)")
_OCTETS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_RATE: Final = re.compile(r"rate=([0-9]{1,9})r/([sm])")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")
_LISTEN: Final = re.compile(r"(?:(\[[0-9A-Fa-f:.]*\]|\*|[0-9.]+|[A-Za-z][A-Za-z0-9.-]*):)?([0-9]{1,5})")
_PASS: Final = re.compile(r"(https?)://(unix:[^:]+:?|[^/]+)(/.*)?")


class UnclearError(Exception):
    """A value that nginx would not take either, or that only nginx can make sense of."""


def duration(text: str) -> str:
    """Return a time as proxy.toml has it."""
    if not _TIME.fullmatch(text):
        raise UnclearError(f'"{text}" is not a time')
    total = sum(int(number) * _MILLISECONDS[unit] for number, unit in _TIME_PART.findall(text))
    return format_duration(total / 1000)


def size(text: str) -> str:
    """Return a size as proxy.toml has it."""
    return format_size(octets(text))


def octets(text: str) -> int:
    """Return the octets of a size."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UnclearError(f'"{text}" is not a size')
    return int(match[1]) * _OCTETS[match[2].lower()]


def rate(text: str) -> str:
    """Return the rate of a limit_req_zone as proxy.toml has it."""
    match = _RATE.fullmatch(text)
    if match is None or not int(match[1]):
        raise UnclearError(f'"{text}" is not a rate')
    return f"{int(match[1])}/{match[2]}"


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put in the variables that are known; raises UnclearError for what only a request can tell."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise UnclearError(f"the variable ${name} has no value outside of nginx")
        return variables[name]

    return _VARIABLE.sub(value, text)


@dataclass(frozen=True, slots=True)
class Listen:
    """One listen directive; `address` as in [server] of proxy.toml, `port` 0 for a unix socket."""

    address: str
    port: int
    has_tls: bool
    is_default: bool
    has_proxy_protocol: bool


def listen(arguments: tuple[str, ...]) -> Listen:
    """Return where a server listens."""
    where, options = (arguments[0] if arguments else "80"), arguments[1:]
    flags = (
        "ssl" in options,
        "default_server" in options or "default" in options,
        "proxy_protocol" in options,
    )
    match = _LISTEN.fullmatch(where)
    if match is not None and int(match[2]) < 65536:
        host = match[1] or ""
        return Listen(f"{_host(host)}:{match[2]}", int(match[2]), *flags)
    if where.startswith("unix:") or not where or where.isdigit():
        raise UnclearError("Foregate listens on TCP ports")
    return Listen(f"{_host(where)}:80", 80, *flags)


def _host(host: str) -> str:
    """Return an address to listen on; all addresses of both families are one in Foregate."""
    return "" if host in ("*", "0.0.0.0", "[::]") else {"localhost": "127.0.0.1"}.get(host, host)  # noqa: S104 (compared)


@dataclass(frozen=True, slots=True)
class Target:
    """Where proxy_pass leads: `authority` as in a URL or `unix:/path`; `uri` None if the path is passed as it is."""

    scheme: str
    authority: str
    uri: str | None

    @property
    def url(self) -> str:
        """Return it as an upstream of proxy.toml."""
        return self.authority if self.authority.startswith("unix:") else f"{self.scheme}://{self.authority}"


def target(text: str) -> Target:
    """Return where a proxy_pass without variables leads."""
    match = _PASS.fullmatch(text)
    if match is None:
        raise UnclearError(f'"{text}" is not an http or https URL')
    authority = match[2].removesuffix(":") if match[2].startswith("unix:") else match[2]
    if authority.startswith("unix:") and match[1] == "https":
        raise UnclearError("Foregate speaks no TLS to unix sockets")
    return Target(match[1], authority, match[3])
