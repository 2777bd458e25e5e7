"""Find out why a name gets no certificate, by looking at what its CA would look at."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from autocert.challenge import key_authorization
from autocert.cloudflare import is_cloudflare
from autocert.names import is_address
from autocert.probe import Answered, Probe, probe
from autocert.problem import Kind, Problem, problem
from autocert.resolver import Addresses, Dns, Resolver, caa_allows
from autocert.threads import Runner

_DNS_SECONDS: Final = 30.0
# Names with more addresses are behind a balancer; a few tell enough.
_MOST_ADDRESSES: Final = 4
_WITHOUT_ADDRESS: Final = {
    Dns.FOUND: Kind.NO_ADDRESS,
    Dns.NOTHING: Kind.NO_ADDRESS,
    Dns.FAILED: Kind.DNS_FAILS,
    Dns.UNANSWERED: Kind.RESOLVER_FAILS,
}
_FROM_HERE: Final = "asked from this machine itself, which some routers do not pass back to it"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a name, the most telling first, and what was found to be right."""

    name: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to look at: `identities` are the CA's names in CAA records, () when unknown.

    `host` is the name for which challenges are asked, where it is another than the one that is looked at;
    `thumbprint` is "" where any will do.
    """

    name: str
    thumbprint: str
    ca: str
    identities: tuple[str, ...]
    http_port: int = 80
    host: str = ""


async def diagnose(question: Question, resolver: Resolver, runner: Runner) -> Diagnosis:
    """Look at DNS, CAA and port 80 of a name."""
    name = question.name
    if is_address(name):
        found = Addresses((name,), ()) if ":" not in name else Addresses((), (name,))
    else:
        found = await runner.run(partial(resolver.addresses, name), _DNS_SECONDS)
    if not found.v4 and not found.v6:
        return Diagnosis(name, (problem(_WITHOUT_ADDRESS[found.outcome], name, found.detail),), ())
    host = question.host or name
    token = secrets.token_urlsafe(32)
    expected = key_authorization(token, question.thumbprint)
    asked = [*found.v6[:_MOST_ADDRESSES], *found.v4[:_MOST_ADDRESSES]]
    probes, forbidden = await asyncio.gather(
        asyncio.gather(*(probe(host, address, question.http_port, token, expected) for address in asked)),
        _caa(question, resolver, runner),
    )
    notes = (f"{name} has the addresses {', '.join(asked)}.", *_good(probes, name))
    return Diagnosis(name, (*forbidden, *judge(name, probes)), notes)


async def _caa(question: Question, resolver: Resolver, runner: Runner) -> tuple[Problem, ...]:
    if not question.identities or is_address(question.name):
        return ()
    where, properties = await runner.run(partial(resolver.caa, question.name), _DNS_SECONDS)
    if caa_allows(properties, question.identities):
        return ()
    words = "; ".join(f"{entry.flags} {entry.tag} {entry.value!r}" for entry in properties)
    facts = {"where": where, "ca": question.ca, "identity": question.identities[0]}
    return (problem(Kind.CAA, question.name, words, **facts),)


def judge(name: str, probes: Sequence[Probe]) -> tuple[Problem, ...]:
    """Say what the answers at a name's addresses mean; pure."""
    wrong = [one for one in probes if one.answered is not Answered.BY_US]
    v4_is_ours = any(one.answered is Answered.BY_US and ":" not in one.address for one in probes)
    found: dict[Kind, Problem] = {}
    for one in wrong:
        kind = _kind(one, v4_is_ours=v4_is_ours)
        detail = one.detail if one.answered is Answered.BY_OTHER else f"{one.detail} ({_FROM_HERE})"
        found.setdefault(kind, problem(kind, name, detail, address=one.address))
    return tuple(found.values())


def _kind(one: Probe, *, v4_is_ours: bool) -> Kind:
    if is_cloudflare(one.address):
        return Kind.CLOUDFLARE
    if ":" in one.address and v4_is_ours:
        return Kind.IPV6_ELSEWHERE
    if one.answered is Answered.BY_OTHER:
        return Kind.ANSWERED_BY_OTHER if one.is_here else Kind.NOT_OURS
    return Kind.NOT_OURS if one.elsewhere else Kind.PORT_CLOSED


def _good(probes: Sequence[Probe], name: str) -> tuple[str, ...]:
    ours = [one.address for one in probes if one.answered is Answered.BY_US]
    notes = [f"Challenges for {name} are answered by this proxy at {', '.join(ours)}."] if ours else []
    if any(is_cloudflare(address) for address in ours):
        notes.append("Cloudflare (orange cloud) stands in between and passes challenges on, as it should.")
    return tuple(notes)
