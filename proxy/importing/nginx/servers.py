"""nginx's server blocks: names, listeners, what kind of server each is, and its certificate."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.errors import UnacceptableError
from proxy.config.names import parse_domain
from proxy.importing.draft import Notes, Table
from proxy.importing.nginx.tree import Directive
from proxy.importing.nginx.values import Listen, UnclearError, listen

_TO_HTTPS: Final = re.compile(
    r"https://(?P<host>\$host|\$server_name|\$http_host|\$\{host\}|[A-Za-z0-9.-]+)(?::443)?"
    r"(?:\$request_uri|\$uri\$is_args\$args|\$uri|\$1|/\$1|\$\{request_uri\})?\??"
)
_NO_NAME: Final = frozenset(("", "_", "$hostname", '""', "__", "-"))
_PATTERNS: Final = "Foregate has exact names, no patterns: add those that you use to `domains`"


@dataclass(frozen=True, slots=True)
class Server:
    """A server block; `names` are its exact names, `is_default` tells whether it takes requests for any other."""

    directive: Directive
    names: tuple[str, ...]
    listens: tuple[Listen, ...]
    is_default: bool

    @property
    def has_tls(self) -> bool:
        """Tell whether https is served."""
        return any(where.has_tls for where in self.listens)

    @property
    def is_local(self) -> bool:
        """Tell whether it listens on loopback addresses alone."""
        return all(where.address.startswith(("127.", "[::1]:")) for where in self.listens)


def server_of(directive: Directive, notes: Notes) -> Server:
    """Return what a server block says of its names and listeners."""
    names: dict[str, None] = {}
    written = [name for line in directive.all("server_name") for name in line.arguments]
    for line in directive.all("server_name"):
        for name in line.arguments:
            for exact in _exact(name, line, notes):
                names.setdefault(exact)
    listens = tuple(_listens(directive, notes))
    has_no_name = all(name in _NO_NAME for name in written)
    return Server(directive, tuple(names), listens, has_no_name)


def _exact(name: str, line: Directive, notes: Notes) -> Iterator[str]:
    if name in _NO_NAME:
        return
    if name.startswith("~") or "*" in name:
        notes.left_out(line.place, f"server_name {name}", _PATTERNS)
        return
    if name.startswith("."):
        notes.left_out(line.place, f"server_name {name}", f"*{name}: {_PATTERNS}")
    try:
        yield parse_domain(name.removeprefix("."))
    except UnacceptableError as exc:
        notes.left_out(line.place, f"server_name {name}", f"expected {exc.expected}; {exc.hint}".rstrip("; "))


def _listens(directive: Directive, notes: Notes) -> Iterator[Listen]:
    uses_tls = any(line.first == "on" for line in directive.all("ssl"))
    lines = list(directive.all("listen"))
    for line in lines:
        try:
            found = listen(line.arguments)
        except UnclearError as exc:
            notes.left_out(line.place, line.text, str(exc))
            continue
        if uses_tls:
            found = Listen(found.address, found.port, True, found.is_default, found.has_proxy_protocol)
        for option in line.arguments[1:]:
            if option in ("http2", "quic", "spdy", "http3"):
                notes.left_out("", option, "Foregate speaks HTTP/1.1 to clients for now")
        yield found
    if not lines:
        yield Listen(":80", 80, False, False, False)


def redirects_to_https(server: Server) -> str | None:
    """Return where a server for http sends everybody: "" for the same host, else another host; None if it does not."""
    block = server.directive.block
    whole = [inner for inner in block if inner.name == "location" and inner.arguments == ("/",)]
    targets = [*_targets(server.directive), *(target for location in whole for target in _targets(location))]
    targets += [target for inner in block if inner.name == "if" for target in _targets(inner)]
    for target in targets:
        match = _TO_HTTPS.fullmatch(target)
        if match is not None:
            host = match["host"]
            return "" if host.startswith("$") or host in server.names else host
    return None


def _targets(directive: Directive) -> Iterator[str]:
    for inner in directive.block:
        if inner.name == "return" and len(inner.arguments) == 2 and inner.first.startswith("3"):
            yield inner.arguments[1]
        elif inner.name == "rewrite" and inner.first in (
            "^",
            "^(.*)$",
            "^(.*)",
            "^/(.*)$",
            "^/(.*)",
            "(.*)",
            ".*",
        ):
            yield inner.arguments[1] if len(inner.arguments) > 1 else ""


def is_to_https(condition: Directive) -> bool:
    """Tell whether an if-block does nothing but send the client to https on the same host."""
    targets = list(_targets(condition))
    return len(condition.block) == 1 and len(targets) == 1 and _TO_HTTPS.fullmatch(targets[0]) is not None


def certificate_files(server: Server, base: Path, notes: Notes) -> tuple[str, str] | None:
    """Return certificate and key of a server, as absolute paths of files that are there; None if there are none."""
    pairs = [list(server.directive.all(name)) for name in ("ssl_certificate", "ssl_certificate_key")]
    if not all(pairs):
        return None
    for further in (*pairs[0][1:], *pairs[1][1:]):
        notes.left_out(further.place, further.text, "a site has one certificate; the first was taken")
    found = []
    for line in (pairs[0][0], pairs[1][0]):
        path = _located(line.first, base)
        if path is None:
            reason = "there is no such file here, so a certificate is ordered from Let's Encrypt instead"
            notes.left_out(line.place, line.text, reason)
            return None
        found.append(path)
    return found[0], found[1]


def _located(name: str, base: Path) -> str | None:
    """Return the absolute path of a file: in a copied tree around the configuration, else as it stands."""
    if not name or "\0" in name or "$" in name:
        return None
    tail = Path(name.lstrip("/"))
    copies = [folder / tail for folder in (base.parent.parent, base.parent, base)]
    candidates = [*copies, Path(name)] if os.path.isabs(name) else [base / name]
    for candidate in candidates:
        try:
            if candidate.is_file():
                return str(candidate.absolute())
        except OSError:
            continue
    return None


def tls_versions(server: Server, inherited: Mapping[str, Directive]) -> Table:
    """Return the keys of [tls] that ssl_protocols amounts to."""
    line = next(server.directive.all("ssl_protocols"), inherited.get("ssl_protocols"))
    return {"min_version": "1.3"} if line is not None and set(line.arguments) == {"TLSv1.3"} else {}
