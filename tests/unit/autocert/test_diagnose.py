"""What the answers at a name's addresses, and its CAA records, mean."""

import pytest

from autocert.diagnose import Question, diagnose, judge
from autocert.probe import Answered, Probe
from autocert.problem import Kind
from autocert.resolver import Addresses, Dns, Property, Resolver
from tests.fakes.autocert_world import InlineRunner

NAME = "www.example.com"


def probed(address: str, answered: Answered, *, here: bool = False, elsewhere: bool = False) -> Probe:
    return Probe(address, answered, f"{address}: seen", here, elsewhere)


OURS4 = probed("203.0.113.7", Answered.BY_US, here=True)
OURS6 = probed("2001:db8::7", Answered.BY_US, here=True)


@pytest.mark.parametrize(
    ("probes", "kinds"),
    [
        ([OURS4], []),
        ([OURS6, OURS4], []),
        ([probed("203.0.113.7", Answered.NOT_AT_ALL, here=True)], [Kind.PORT_CLOSED]),
        ([probed("203.0.113.7", Answered.NOT_AT_ALL)], [Kind.PORT_CLOSED]),
        ([probed("203.0.113.7", Answered.NOT_AT_ALL, elsewhere=True)], [Kind.NOT_OURS]),
        ([probed("203.0.113.7", Answered.BY_OTHER, here=True)], [Kind.ANSWERED_BY_OTHER]),
        ([probed("203.0.113.7", Answered.BY_OTHER)], [Kind.NOT_OURS]),
        ([probed("203.0.113.7", Answered.BY_OTHER, elsewhere=True)], [Kind.NOT_OURS]),
        ([probed("2001:db8::7", Answered.NOT_AT_ALL), OURS4], [Kind.IPV6_ELSEWHERE]),
        ([probed("2001:db8::7", Answered.BY_OTHER), OURS4], [Kind.IPV6_ELSEWHERE]),
        ([probed("2001:db8::7", Answered.NOT_AT_ALL, here=True)], [Kind.PORT_CLOSED]),
        ([probed("104.21.3.4", Answered.BY_OTHER)], [Kind.CLOUDFLARE]),
        (
            [probed("2606:4700::1", Answered.NOT_AT_ALL), probed("172.67.1.2", Answered.BY_OTHER)],
            [Kind.CLOUDFLARE],
        ),
        ([probed("104.21.3.4", Answered.BY_US)], []),
        (
            [probed("203.0.113.7", Answered.NOT_AT_ALL), probed("203.0.113.8", Answered.BY_OTHER)],
            [Kind.PORT_CLOSED, Kind.NOT_OURS],
        ),
    ],
)
def test_judgements(probes: list[Probe], kinds: list[Kind]) -> None:
    assert [problem.kind for problem in judge(NAME, probes)] == kinds


def test_a_judgement_names_the_address_and_how_it_was_seen() -> None:
    (found,) = judge(NAME, [probed("203.0.113.7", Answered.NOT_AT_ALL)])
    assert "203.0.113.7" in found.what_is_wrong
    assert "asked from this machine itself" in found.detail


class Records(Resolver):
    """A DNS of the test's own."""

    def __init__(self, addresses: Addresses, caa: tuple[str, tuple[Property, ...]] = ("", ())) -> None:
        super().__init__()
        self._addresses = addresses
        self._caa = caa

    def addresses(self, name: str) -> Addresses:
        return self._addresses

    def caa(self, name: str) -> tuple[str, tuple[Property, ...]]:
        return self._caa


def question(name: str = NAME, *identities: str) -> Question:
    return Question(name=name, thumbprint="t", ca="Let's Encrypt", identities=identities, http_port=1)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Dns.NOTHING, Kind.NO_ADDRESS),
        (Dns.FAILED, Kind.DNS_FAILS),
        (Dns.UNANSWERED, Kind.RESOLVER_FAILS),
    ],
)
async def test_names_without_an_address(outcome: Dns, kind: Kind) -> None:
    found = await diagnose(question(), Records(Addresses((), (), outcome, "why")), InlineRunner())
    assert [(problem.kind, problem.detail) for problem in found.problems] == [(kind, "why")]


async def test_a_caa_record_that_forbids_comes_first() -> None:
    resolver = Records(
        Addresses(("127.0.0.1",), ()), ("example.com", (Property(0, "issue", "other.example"),))
    )
    found = await diagnose(question(NAME, "letsencrypt.org"), resolver, InlineRunner())
    assert [problem.kind for problem in found.problems] == [Kind.CAA, Kind.PORT_CLOSED]
    caa = found.problems[0]
    assert caa.what_is_wrong == (
        f"A CAA record at example.com forbids Let's Encrypt to issue certificates for {NAME}."
    )
    assert 'CAA record 0 issue "letsencrypt.org" at example.com' in caa.what_to_do
    assert caa.detail == "0 issue 'other.example'"


async def test_an_address_needs_no_dns() -> None:
    found = await diagnose(question("127.0.0.1", "letsencrypt.org"), Resolver("127.0.0.1:1"), InlineRunner())
    assert [problem.kind for problem in found.problems] == [Kind.PORT_CLOSED]
