"""The budget: below Let's Encrypt's limits, however the calls and the clock go."""

import random

import pytest

from autocert import ledger
from autocert.errors import BudgetError, WrongCertificateError
from autocert.ledger import (
    HOUR,
    LETS_ENCRYPT,
    OTHERS,
    WEEK,
    Charge,
    Ledger,
    Limit,
    account_charges,
    certificate_charges,
    failure_charges,
    limits_of,
    order_charges,
)

CA = "https://acme-v02.api.letsencrypt.org/directory"
NOW = 1_800_000_000.0
# What Let's Encrypt publishes: count and span by the kind of our keys.
PUBLISHED = {
    "orders": (300, 3 * HOUR),
    "domain": (50, WEEK),
    "set": (5, WEEK),
    "failure": (5, HOUR),
    "accounts": (10, 3 * HOUR),
}


def spend(book: Ledger, charges: list[Charge], now: float) -> bool:
    try:
        book.check(charges, now)
    except BudgetError:
        return False
    book.enter(charges, now)
    return True


def test_which_ca_has_which_limits() -> None:
    assert limits_of(CA) is LETS_ENCRYPT
    assert limits_of("https://acme-staging-v02.api.letsencrypt.org/directory") is LETS_ENCRYPT
    assert limits_of("https://notletsencrypt.org/directory") is OTHERS
    assert limits_of("https://localhost:14000/dir") is OTHERS


@pytest.mark.parametrize(
    "charges",
    [
        order_charges(CA, LETS_ENCRYPT),
        certificate_charges(CA, ["a.example.com", "b.example.com"], LETS_ENCRYPT),
        failure_charges(CA, ["a.example.com"], LETS_ENCRYPT),
        account_charges(CA, LETS_ENCRYPT),
    ],
)
def test_every_budget_is_below_the_published_limit(charges: list[Charge]) -> None:
    for charge in charges:
        count, seconds = PUBLISHED[charge.key.split()[0]]
        assert charge.limit.count < count
        assert charge.limit.seconds >= seconds


def test_a_limit_frees_when_the_oldest_entry_leaves_its_span() -> None:
    book, charges = Ledger(), [Charge("k", Limit(2, 100.0), "things")]
    assert spend(book, charges, NOW)
    assert spend(book, charges, NOW + 10)
    with pytest.raises(BudgetError) as caught:
        book.check(charges, NOW + 20)
    assert caught.value.frees_at == NOW + 100
    assert not spend(book, charges, NOW + 99.9)
    assert spend(book, charges, NOW + 100)


def test_certificates_count_for_each_registered_domain_and_the_exact_set() -> None:
    keys = {
        charge.key for charge in certificate_charges(CA, ["b.x.co.uk", "a.x.co.uk", "y.com"], LETS_ENCRYPT)
    }
    assert keys == {f"set {CA} a.x.co.uk,b.x.co.uk,y.com", f"domain {CA} x.co.uk", f"domain {CA} y.com"}


def test_cas_have_books_of_their_own() -> None:
    book = Ledger()
    for _ in range(4):
        assert spend(book, certificate_charges(CA, ["a.com"], LETS_ENCRYPT), NOW)
    assert not spend(book, certificate_charges(CA, ["a.com"], LETS_ENCRYPT), NOW)
    assert spend(book, certificate_charges("https://other.example/dir", ["a.com"], LETS_ENCRYPT), NOW)


def test_one_limit_that_is_reached_lets_nothing_be_written_down() -> None:
    book = Ledger()
    free, full = Charge("free", Limit(9, 100.0), "a"), Charge("full", Limit(1, 100.0), "b")
    assert spend(book, [full], NOW)
    assert not spend(book, [free, full], NOW)
    assert b"free" not in book.sealed(NOW)


def test_withdrawn_charges_do_not_count() -> None:
    book, charges = Ledger(), [Charge("k", Limit(1, 100.0), "things")]
    book.enter(charges, NOW)
    book.withdraw(charges, NOW)
    assert spend(book, charges, NOW)


def test_it_survives_being_written_and_read() -> None:
    book, charges = Ledger(), failure_charges(CA, ["a.com"], LETS_ENCRYPT)
    for second in range(4):
        assert spend(book, charges, NOW + second)
    again = ledger.unsealed(book.sealed(NOW + 10))
    assert not spend(again, charges, NOW + 10)
    assert spend(again, charges, NOW + HOUR)


def test_old_entries_are_dropped_from_the_file() -> None:
    book = Ledger()
    book.enter(order_charges(CA, LETS_ENCRYPT), NOW)
    assert b"orders" not in book.sealed(NOW + WEEK + 1)


@pytest.mark.parametrize("content", [b"", b"foregate ledger 1 2 00\n{}", b"junk"])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        ledger.unsealed(content)


def test_a_file_of_another_shape_is_refused() -> None:
    from autocert import envelope

    for content in (b"[]", b"{}", b'{"entries": [], "boot": "", "offset": 0}', b'{"entries": {"a": ["x"]}}'):
        with pytest.raises(WrongCertificateError):
            ledger.unsealed(envelope.seal("ledger", content))


def test_entries_move_with_a_clock_that_is_set() -> None:
    book, charges = Ledger(), [Charge("k", Limit(1, 100.0), "things")]
    book.align("boot", 0.0)
    book.enter(charges, NOW)
    again = ledger.unsealed(book.sealed(NOW))
    # A day forward: the entry keeps its age of ten seconds instead of growing old at once.
    again.align("boot", 86400.0)
    assert not spend(again, charges, NOW + 86400 + 10)
    assert spend(again, charges, NOW + 86400 + 100)


def test_small_corrections_and_other_boots_move_nothing() -> None:
    charges = [Charge("k", Limit(1, 100.0), "things")]
    for boot, offset in (("boot", 20.0), ("another boot", 5000.0)):
        book = Ledger()
        book.align("boot", 0.0)
        book.enter(charges, NOW)
        book.align(boot, offset)
        assert spend(book, charges, NOW + 100)


def test_an_entry_of_the_future_counts_as_made_now() -> None:
    book, charges = Ledger(), [Charge("k", Limit(1, 100.0), "things")]
    book.enter(charges, NOW + 1e6)
    with pytest.raises(BudgetError) as caught:
        book.check(charges, NOW)
    assert caught.value.frees_at == NOW + 100


def test_merging_takes_what_is_missing_and_nothing_twice() -> None:
    one, other = Ledger({"k": [1.0, 2.0]}), Ledger({"k": [2.0, 3.0], "l": [1.0]})
    one.merge(other)
    one.merge(other)
    assert one.sealed(3.0) == Ledger({"k": [1.0, 2.0, 3.0], "l": [1.0]}).sealed(3.0)


@pytest.mark.parametrize("seed", range(5))
def test_no_window_of_time_ever_holds_more_than_the_published_limit(seed: int) -> None:
    """Thousands of wishes at random, with restarts and clock jumps: no span holds more than is allowed."""
    chance = random.Random(seed)
    names = [f"{host}.{domain}" for domain in ("a.com", "b.co.uk") for host in ("x", "y", "z", "w")]
    book, steady, wall = Ledger(), 0.0, NOW
    spent: dict[str, list[float]] = {}
    book.align("boot", wall - steady)
    for _ in range(3000):
        passed = chance.expovariate(1 / 600)
        steady, wall = steady + passed, wall + passed
        if chance.random() < 0.01:
            wall += chance.choice([-1, 1]) * chance.uniform(100, 1e6)
        book.align("boot", wall - steady)
        if chance.random() < 0.05:
            book = ledger.unsealed(book.sealed(wall))
        charges = chance.choice(
            [
                order_charges(CA, LETS_ENCRYPT),
                certificate_charges(CA, chance.sample(names, chance.randint(1, 2)), LETS_ENCRYPT),
                failure_charges(CA, [chance.choice(names)], LETS_ENCRYPT),
                account_charges(CA, LETS_ENCRYPT),
            ]
        )
        if spend(book, charges, wall):
            for charge in charges:
                # True time is the steady clock's: the CA does not follow ours.
                spent.setdefault(charge.key, []).append(steady)
    for key, times in spent.items():
        count, span = PUBLISHED[key.split()[0]]
        for position in range(len(times) - count):
            assert times[position + count] - times[position] > span, key
