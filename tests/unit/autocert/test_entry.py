"""When an entry is due, and what is shown of it."""

from dataclasses import replace

import pytest

from autocert.certificate import LOCAL, Certificate, checked
from autocert.entry import NEVER, Entry
from autocert.errors import StorageError
from autocert.renewal import ARI_LONGEST, DAY, Backoff, Reason, State, Window
from autocert.settings import Authority, Wanted
from tests.fakes.root_ca import TestCa

NOW = 1_800_000_000.0
NAME = "a.example.com"


def made(origin: str = Authority().url) -> Certificate:
    key, chain = TestCa(now=NOW).issue([NAME])
    return checked(key, chain, names=(NAME,), origin=origin, profile="", stored_at=NOW)


@pytest.fixture
def entry() -> Entry:
    found = Entry(Wanted(names=(NAME,)))
    found.certificate = made()
    return found


def test_without_a_certificate_it_is_due_at_once() -> None:
    entry = Entry(Wanted(names=(NAME,)))
    assert entry.next_attempt(NOW) == NOW
    status = entry.status(NOW)
    assert (status.state, status.not_after, status.renews_because) == (
        State.ABSENT,
        None,
        Reason.MISSING.value,
    )


def test_with_one_it_is_due_later(entry: Entry) -> None:
    assert entry.next_attempt(NOW) > NOW + 50 * DAY
    status = entry.status(NOW)
    assert status.state is State.VALID
    assert status.renews_at == status.next_attempt
    assert status.issuer == "CN=test CA"


def test_the_window_counts_for_its_own_certificate_alone(entry: Entry) -> None:
    assert entry.certificate is not None
    window = Window(NOW + DAY, NOW + 2 * DAY)
    entry.record = replace(entry.record, window=window, window_of=entry.certificate.fingerprint)
    assert entry.due(entry.certificate)[1] is Reason.ARI
    entry.record = replace(entry.record, window_of="another")
    assert entry.due(entry.certificate)[1] is Reason.SHARE


def test_another_ca_or_a_request_make_it_due(entry: Entry) -> None:
    assert entry.certificate is not None
    entry.record = replace(entry.record, requested=entry.certificate.fingerprint)
    assert entry.due(entry.certificate) == (0.0, Reason.REQUESTED)
    entry.want(Wanted(names=(NAME,), authority=Authority(mode="self-signed")))
    assert entry.origin == LOCAL
    assert entry.due(entry.certificate) == (0.0, Reason.MOVED)


def test_nothing_is_tried_while_the_storage_cannot_be_read(entry: Entry) -> None:
    entry.unreadable = StorageError(OSError(5, "x"), "/")
    assert entry.next_attempt(NOW) == NEVER
    assert entry.status(NOW).next_attempt is None


def test_the_rest_after_a_success_needs_the_success(entry: Entry) -> None:
    entry.record = replace(entry.record, backoff=Backoff(since=NOW, until=NOW + 1000))
    entry.certificate = None
    assert entry.next_attempt(NOW) == NOW
    entry.record = replace(entry.record, backoff=Backoff(1, 0, NOW, NOW + 1000))
    assert entry.next_attempt(NOW) == NOW + 1000


def test_window_checks(entry: Entry) -> None:
    assert entry.certificate is not None
    assert entry.next_window_check(NOW) == NOW
    known = replace(entry.record, window_of=entry.certificate.fingerprint, next_window_check=NOW + 60)
    entry.record = known
    assert entry.next_window_check(NOW) == NOW + 60
    # A moment from a clock that was ahead.
    entry.record = replace(known, next_window_check=NOW + 1e8)
    assert entry.next_window_check(NOW) == NOW + ARI_LONGEST
    entry.certificate = made(origin=LOCAL)
    assert entry.next_window_check(NOW) == NEVER


async def test_whoever_waits_is_woken_once(entry: Entry) -> None:
    import asyncio

    waiter = asyncio.create_task(entry.change())
    await asyncio.sleep(0)
    entry.tell_waiters()
    await waiter
    again = asyncio.create_task(entry.change())
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
