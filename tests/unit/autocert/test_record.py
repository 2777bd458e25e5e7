"""States are written and read, and damage is noticed."""

import pytest

from autocert import envelope
from autocert.errors import WrongCertificateError
from autocert.problem import Kind, problem
from autocert.record import KIND, Record, unsealed
from autocert.renewal import Backoff, Window


def test_everything_in_it_survives() -> None:
    record = Record(
        names=("a.example.com",),
        backoff=Backoff(2, 1, 10.0, 20.0),
        problem=problem(Kind.PORT_CLOSED, "a.example.com", "timeout").again_at(20.0),
        window=Window(1.0, 2.0),
        window_of="abc",
        next_window_check=3.0,
        requested="def",
        removed_at=4.0,
        kept=True,
    )
    assert unsealed(record.sealed()) == record
    assert unsealed(Record().sealed()) == Record()


def test_a_set_clock_moves_the_wait_alone() -> None:
    record = Record(backoff=Backoff(1, 0, 10.0, 20.0), window=Window(1.0, 2.0), removed_at=4.0)
    moved = record.shifted(100.0)
    assert (moved.backoff.since, moved.backoff.until) == (110.0, 120.0)
    assert (moved.window, moved.removed_at) == (record.window, record.removed_at)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b'{"problem": null}'),
        b'{"problem": {"kind": "x"}, "window": null, "backoff": {}, "names": []}',
        b'{"problem": null, "window": null, "backoff": {}, "names": [], "unknown": 1}',
    ],
)
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        unsealed(envelope.seal(KIND, content))
