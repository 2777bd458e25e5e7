"""Ask the DNS what a CA would ask it. Blocking: call it off the event loop."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_SECONDS: Final = 5.0


class Dns(Enum):
    """How a question ended."""

    FOUND = auto()
    NOTHING = auto()
    FAILED = auto()
    UNANSWERED = auto()


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a CAA record (RFC 8659 section 4.1)."""

    flags: int
    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a name; with neither, `outcome` and `detail` tell why."""

    v4: tuple[str, ...]
    v6: tuple[str, ...]
    outcome: Dns = Dns.FOUND
    detail: str = ""


class Resolver:
    """Asks one name server, given as HOST:PORT, or those of the system when it is ""."""

    def __init__(self, server: str = "") -> None:
        self._server = server

    def addresses(self, name: str) -> Addresses:
        """Return the addresses of a name, its aliases followed."""
        v4, how4, detail4 = self._ask(name, "A")
        if how4 is Dns.UNANSWERED:
            return Addresses((), (), how4, detail4)
        v6, how6, detail6 = self._ask(name, "AAAA")
        if v4 or v6:
            return Addresses(tuple(v4), tuple(v6))
        bad = [how for how in (how4, how6) if how is not Dns.NOTHING]
        return Addresses((), (), bad[0] if bad else Dns.NOTHING, detail4 or detail6)

    def caa(self, name: str) -> tuple[str, tuple[Property, ...]]:
        """Return where the CAA records that count for a name are, and them (RFC 8659 section 3).

        The first name on the way up that has any decides. ("", ()) when none has.
        """
        labels = name.split(".")
        for start in range(len(labels)):
            where = ".".join(labels[start:])
            texts, _, _ = self._ask(where, "CAA")
            if texts:
                return where, tuple(_property(text) for text in texts)
        return "", ()

    def _ask(self, name: str, kind: str) -> tuple[list[str], Dns, str]:
        # Imported here: it is needed only when something is wrong.
        import dns.exception
        import dns.resolver

        resolver = dns.resolver.Resolver(configure=not self._server)
        if self._server:
            host, _, port = self._server.rpartition(":")
            resolver.nameservers = [host.strip("[]")]
            resolver.port = int(port)
        try:
            answer = resolver.resolve(name, kind, lifetime=_SECONDS, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return [], Dns.NOTHING, f"no {kind} record"
        except dns.exception.Timeout as exc:
            return [], Dns.UNANSWERED, f"{kind}: {exc}"
        except dns.exception.DNSException as exc:
            return [], Dns.FAILED, f"{kind}: {exc}"
        return [record.to_text() for record in answer], Dns.FOUND, ""


def _property(text: str) -> Property:
    flags, tag, value = text.split(" ", 2)
    return Property(int(flags), tag.lower(), value.strip().strip('"'))


def caa_allows(properties: tuple[Property, ...], identities: tuple[str, ...]) -> bool:
    """Tell whether CAA records let a CA of these identities issue by HTTP-01 (RFC 8659 section 4, RFC 8657)."""
    known = {"issue", "issuewild", "iodef", "issuemail", "contactemail", "contactphone"}
    if any(entry.flags & 128 and entry.tag not in known for entry in properties):
        return False
    issue = [entry.value for entry in properties if entry.tag == "issue"]
    return not issue or any(_names_one_of(value, identities) for value in issue)


def _names_one_of(value: str, identities: tuple[str, ...]) -> bool:
    issuer, *parameters = (part.strip() for part in value.split(";"))
    for parameter in parameters:
        key, _, methods = parameter.partition("=")
        if key.strip() == "validationmethods" and "http-01" not in methods.replace(" ", "").split(","):
            return False
    return issuer.lower() in identities
