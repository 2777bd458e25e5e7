"""How fast a client takes its answers: waits add up over an exchange, and the kernel's octets count as not taken."""

from proxy.downstream.sending import RATE_AFTER, Sending


def test_a_client_that_takes_nothing_has_stalled() -> None:
    sending = Sending()
    sending.stopped(1, 100.0, 5000)
    sending.look(105.0, 5000, 9000)
    assert not sending.has_stalled(159.9, 60.0)
    assert sending.has_stalled(160.0, 60.0)


def test_what_leaves_the_queue_here_is_taken_until_the_first_look_and_what_leaves_the_kernel_from_then_on() -> (
    None
):
    sending = Sending()
    sending.stopped(1, 0.0, 5000)
    sending.look(5.0, 4000, 9000)
    assert sending.progress == 5.0
    sending.look(10.0, 4000, 9000)
    assert sending.progress == 5.0
    sending.look(15.0, 4000, 8999)
    assert sending.progress == 15.0


def test_more_in_the_kernel_than_before_is_no_progress() -> None:
    sending = Sending()
    sending.stopped(1, 0.0, 5000)
    sending.look(5.0, 5000, 9000)
    sending.look(10.0, 5000, 9500)
    assert sending.progress == 0.0


def test_many_short_waits_of_one_exchange_are_one_long_one() -> None:
    sending = Sending()
    for second in range(0, 60, 2):  # one second of each two is waited for, and 100 octets are taken in it
        sending.stopped(1, float(second), 1000)
        sending.resumed(second + 1.0, 900, 0)
    sending.stopped(1, 60.0, 1000)
    assert sending.is_too_slow(60.0, 101.0)
    assert not sending.is_too_slow(60.0, 99.0)


def test_the_next_exchange_begins_anew() -> None:
    sending = Sending()
    sending.stopped(1, 0.0, 1000)
    sending.resumed(RATE_AFTER, 1000, 0)
    sending.stopped(2, RATE_AFTER, 1000)
    assert not sending.is_too_slow(2 * RATE_AFTER - 1, 1.0)
    assert sending.is_too_slow(2 * RATE_AFTER, 1.0)


def test_a_wait_that_was_looked_at_ends_with_the_kernels_octets() -> None:
    sending = Sending()
    sending.stopped(1, 0.0, 1000)
    assert not sending.was_looked_at
    sending.look(5.0, 1000, 4000)
    assert sending.was_looked_at
    sending.resumed(RATE_AFTER, 0, 1000)
    sending.stopped(1, RATE_AFTER, 1000)
    assert sending.is_too_slow(RATE_AFTER, 3001 / RATE_AFTER)
    assert not sending.is_too_slow(RATE_AFTER, 2999 / RATE_AFTER)
