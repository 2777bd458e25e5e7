"""The worker's certificates by name, and who waits for which."""

import asyncio
import ssl

import pytest

from proxy.downstream.tls_any_name import (
    LONGEST_WAIT,
    NAMES_AWAITED,
    NAMES_KEPT,
    PAUSE_SECONDS,
    REFUSED_KEPT,
    REFUSED_SECONDS,
    NamesUnderAny,
)
from proxy.downstream.tls_certificates import ANY_NAME, ASK_INTERVAL, CertificateStore, ServedName
from proxy.downstream.tls_contexts import CONTEXT_LIFETIME, CertificateError
from proxy.downstream.tls_hold import UNAVAILABLE, Hold, Refuse
from tests.fakes.certificates import Authority, PemPair

A, B, C = "a.test", "b.test", "c.test"
REFUSED = Refuse()


class Wishes:
    """A store with all that it says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[str] = []
        self.reported: list[tuple[str, str]] = []
        self.store = CertificateStore(
            asyncio.get_running_loop(),
            self.asked.append,
            clock=lambda: self.now,
            report=lambda name, error: self.reported.append((name, str(error))),
        )


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> dict[str, PemPair]:
    return {name: authority.pair(name) for name in (A, B, C, "a2.test")}


@pytest.fixture
async def wishes() -> Wishes:
    wishes = Wishes()
    wishes.store.wanted({A: ServedName(hold=7.0), B: ServedName(min_version="1.3")})
    return wishes


def context(answer: object) -> ssl.SSLContext:
    assert isinstance(answer, ssl.SSLContext)
    return answer


def hold(answer: object) -> Hold:
    assert isinstance(answer, Hold)
    return answer


async def test_finds_certificates_by_exact_name(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    store = wishes.store
    store.set(A, *pairs[A])
    store.set(B, *pairs[B])
    assert context(store.lookup(A)) is store.lookup(A)
    assert context(store.lookup(B)).minimum_version is ssl.TLSVersion.TLSv1_3
    assert store.lookup(A) is not store.lookup(B)
    assert store.has(A)
    assert not store.has(C)
    for name in (C, "sub.a.test", "test", None, "127.0.0.1"):
        assert store.lookup(name) == REFUSED


async def test_without_a_name_the_default_is_served(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    store = wishes.store
    store.wanted({A: ServedName()}, default=A)
    store.set(A, *pairs[A])
    assert context(store.lookup(None)) is store.lookup(A)
    assert store.lookup("127.0.0.1") is store.lookup(A)
    assert store.lookup(C) == REFUSED


async def test_a_site_for_any_host_serves_every_name(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    store = wishes.store
    store.wanted({A: ServedName(), ANY_NAME: ServedName()}, default=ANY_NAME)
    store.set(A, *pairs[A])
    store.set(ANY_NAME, *pairs[B])
    assert store.has("whatever.test")
    assert context(store.lookup(C)) is store.lookup(None)
    assert store.lookup("127.0.0.1") is store.lookup(C)
    assert store.lookup(A) is not store.lookup(C)


@pytest.fixture
async def local(wishes: Wishes, pairs: dict[str, PemPair]) -> Wishes:
    """A site for any host whose names the local CA makes certificates for."""
    wishes.store.wanted(
        {A: ServedName(), ANY_NAME: ServedName(each=True, min_version="1.3")}, default=ANY_NAME
    )
    wishes.store.set(ANY_NAME, *pairs[B])
    return wishes


async def test_each_name_under_a_site_for_any_host_gets_its_own(
    local: Wishes, pairs: dict[str, PemPair]
) -> None:
    held = [hold(local.store.lookup(C)) for _ in range(5)]
    assert held[0].seconds == LONGEST_WAIT
    assert local.asked == [C]
    local.store.set(C, *pairs[C])
    assert context(held[4].outcome.result()) is local.store.lookup(C)
    assert context(local.store.lookup(C)).minimum_version is ssl.TLSVersion.TLSv1_3
    assert context(local.store.lookup(None)) is not local.store.lookup(C)
    assert local.store.same_certificate(C, "whatever.test")
    local.now += CONTEXT_LIFETIME
    hold(local.store.lookup(C))
    assert local.asked == [C, C]


async def test_a_name_that_gets_no_certificate_has_the_one_of_its_site(local: Wishes) -> None:
    held = hold(local.store.lookup(C))
    local.store.fail(C)
    general = context(local.store.lookup(None))
    assert held.outcome.result() is general
    assert local.store.lookup(C) is general
    local.now += REFUSED_SECONDS
    hold(local.store.lookup(C))


async def test_a_damaged_certificate_of_a_name_costs_that_name_its_own(local: Wishes) -> None:
    held = hold(local.store.lookup(C))
    local.store.set(C, b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----")
    assert held.outcome.result() is local.store.lookup(None)
    assert local.reported == []


async def test_a_flood_of_names_waits_and_stays_within_bounds(
    local: Wishes, pairs: dict[str, PemPair]
) -> None:
    general = local.store.lookup(None)
    answers = [local.store.lookup(f"n{number}.test") for number in range(NAMES_AWAITED + 50)]
    assert [isinstance(answer, Hold) for answer in answers] == [True] * NAMES_AWAITED + [False] * 50
    assert answers[-1] is general
    assert len(local.asked) == NAMES_AWAITED
    local.store.fail("n0.test")
    assert local.store.lookup("another.test") is general
    local.now += PAUSE_SECONDS
    hold(local.store.lookup("another.test"))


def test_only_the_names_used_last_are_kept() -> None:
    now = 1.0
    names, made = NamesUnderAny(lambda: now), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for number in range(NAMES_KEPT):
        names.keep(f"n{number}.test", made)
    assert names.get("n0.test") is made
    names.keep("one-more.test", made)
    assert len(names) == NAMES_KEPT
    assert names.get("n0.test") is made
    assert names.get("n1.test") is None
    for number in range(REFUSED_KEPT + 1):
        names.refuse(f"r{number}.test")
    now += PAUSE_SECONDS
    assert names.may_ask("r0.test", 0)
    assert not names.may_ask("r1.test", 0)


async def test_a_reload_ends_what_was_made_for_single_names(local: Wishes, pairs: dict[str, PemPair]) -> None:
    local.store.set(C, *pairs[C])
    held = hold(local.store.lookup("d.test"))
    local.store.wanted({ANY_NAME: ServedName(each=True)}, default=ANY_NAME)
    assert held.outcome.result() is local.store.lookup(None)
    hold(local.store.lookup(C))
    local.store.wanted({ANY_NAME: ServedName()}, default=ANY_NAME)
    assert context(local.store.lookup(C)) is local.store.lookup(None)


async def test_another_certificate_of_the_site_ends_what_was_made_before(
    local: Wishes, pairs: dict[str, PemPair]
) -> None:
    local.store.set(C, *pairs[C])
    local.store.set(ANY_NAME, *pairs[A])
    hold(local.store.lookup(C))


async def test_a_missing_certificate_is_asked_for_once_and_held(wishes: Wishes) -> None:
    holds = [hold(wishes.store.lookup(A)) for _ in range(50)]
    assert {id(held.outcome) for held in holds} == {id(holds[0].outcome)}
    assert holds[0].seconds == 7.0
    assert wishes.asked == [A]
    wishes.now += ASK_INTERVAL
    wishes.store.lookup(A)
    assert wishes.asked == [A, A]


async def test_a_certificate_releases_who_waits_for_it(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    held, other = hold(wishes.store.lookup(A)), hold(wishes.store.lookup(B))
    wishes.store.set(A, *pairs[A])
    assert held.outcome.result() is wishes.store.lookup(A)
    assert not other.outcome.done()


async def test_a_failed_order_releases_who_waits(wishes: Wishes) -> None:
    held = hold(wishes.store.lookup(A))
    wishes.store.fail(A)
    wishes.store.fail(B)
    assert held.outcome.result() is UNAVAILABLE
    assert hold(wishes.store.lookup(A)).outcome is not held.outcome


async def test_an_order_after_all_have_left_is_no_problem(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    hold(wishes.store.lookup(A)).outcome.cancel()
    wishes.store.set(A, *pairs[A])
    assert context(wishes.store.lookup(A))


async def test_no_time_to_wait_is_a_refusal_at_once(wishes: Wishes) -> None:
    wishes.store.wanted({A: ServedName(hold=0.0)})
    assert wishes.store.lookup(A) is UNAVAILABLE
    assert wishes.asked == [A]


async def test_names_that_are_not_wanted_any_more_are_refused(
    wishes: Wishes, pairs: dict[str, PemPair]
) -> None:
    wishes.store.set(A, *pairs[A])
    held = hold(wishes.store.lookup(B))
    wishes.store.wanted({C: ServedName()})
    assert held.outcome.result() == REFUSED
    assert wishes.store.lookup(A) == REFUSED
    assert not wishes.store.has(A)


async def test_a_renewed_certificate_replaces_the_old_one(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    store = wishes.store
    store.set(A, *pairs[A])
    old = store.lookup(A)
    store.set(A, *pairs[A])
    assert store.lookup(A) is old
    store.set(A, *pairs["a2.test"])
    assert context(store.lookup(A)) is not old


async def test_a_pair_that_does_not_match_leaves_the_old_one(
    wishes: Wishes, pairs: dict[str, PemPair]
) -> None:
    store = wishes.store
    store.set(A, *pairs[A])
    old = store.lookup(A)
    with pytest.raises(CertificateError, match="does not belong to the certificate"):
        store.set(A, pairs[A].chain, pairs[B].key)
    assert store.lookup(A) is old


async def test_a_pair_that_does_not_match_releases_nobody(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    held = hold(wishes.store.lookup(A))
    with pytest.raises(CertificateError):
        wishes.store.set(A, pairs[A].chain, pairs[B].key)
    assert not held.outcome.done()


async def test_a_first_pair_is_looked_at_when_needed(wishes: Wishes, pairs: dict[str, PemPair]) -> None:
    wishes.store.set(A, pairs[A].chain, pairs[B].key)
    assert isinstance(wishes.store.lookup(A), Hold)
    assert wishes.asked == [A]
    assert [name for name, _ in wishes.reported] == [A]
    assert "does not belong" in wishes.reported[0][1]


async def test_names_of_one_certificate_share_a_context(wishes: Wishes, authority: Authority) -> None:
    store = wishes.store
    store.wanted({A: ServedName(), B: ServedName(), C: ServedName()})
    both = authority.pair(A, B)
    store.set(A, *both)
    store.set(B, *both)
    store.set(C, *authority.pair(C))
    shared = store.lookup(A)
    assert context(shared) is store.lookup(B)
    store.remove(A)
    assert store.lookup(B) is shared
    assert isinstance(store.lookup(A), Hold)


async def test_tells_which_hosts_a_connection_is_good_for(wishes: Wishes, authority: Authority) -> None:
    store = wishes.store
    store.wanted({A: ServedName(), B: ServedName(), C: ServedName()}, default=C)
    both = authority.pair(A, B)
    store.set(A, *both)
    store.set(B, *both)
    assert store.same_certificate(A, A)
    assert store.same_certificate(A, B)
    assert not store.same_certificate(A, C)
    assert store.same_certificate(None, C)
    assert not store.same_certificate(None, A)
    assert not store.same_certificate(A, "d.test")
    store.set(C, *authority.pair(C))
    assert not store.same_certificate(A, C)
    store.wanted({A: ServedName(), B: ServedName(min_version="1.3")})
    assert not store.same_certificate(A, B)  # it may have come with TLS 1.2, which B does not take
    assert store.same_certificate(B, A)
    store.wanted({A: ServedName(), ANY_NAME: ServedName()})
    assert store.same_certificate("d.test", "e.test")
    assert not store.same_certificate("d.test", A)


async def test_a_placeholder_greets_those_who_must_not_wait(
    wishes: Wishes, pairs: dict[str, PemPair]
) -> None:
    store = wishes.store
    store.set_placeholder(*pairs[C], applies=lambda peer: peer == "192.0.2.1")
    placeholder = hold(store.lookup(A)).placeholder
    assert placeholder is not None
    assert context(placeholder("192.0.2.1"))
    assert placeholder("192.0.2.2") is None
    store.set(A, *pairs[A])
    assert context(store.lookup(A)) is not placeholder("192.0.2.1")
    with pytest.raises(CertificateError):
        store.set_placeholder(pairs[A].chain, pairs[B].key, applies=lambda _peer: True)
