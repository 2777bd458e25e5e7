"""The heartbeat: who does not answer is lost, unless it was the supervisor that was late."""

from proxy.supervisor.heartbeat import INTERVAL, PATIENCE, Beat, Heartbeat, RunningTime


def test_every_tick_asks_a_worker_that_answers() -> None:
    beat = Heartbeat()
    for tick in range(1, 5):
        assert beat.tick(tick * INTERVAL) is Beat.PING
        assert beat.sequence == tick
        beat.answered(tick)


def test_a_worker_is_lost_after_its_patience_and_not_before() -> None:
    beat = Heartbeat()
    assert beat.tick(0.0) is Beat.PING
    assert beat.tick(PATIENCE) is Beat.WAIT
    assert beat.tick(PATIENCE + 0.1) is Beat.LOST


def test_an_answer_to_an_older_question_does_not_count() -> None:
    beat = Heartbeat()
    beat.tick(0.0)
    beat.answered(1)
    beat.tick(2.0)
    beat.answered(1)
    assert beat.tick(2.0 + PATIENCE + 0.1) is Beat.LOST


def test_a_late_answer_saves_the_worker() -> None:
    beat = Heartbeat()
    beat.tick(0.0)
    assert beat.tick(PATIENCE) is Beat.WAIT
    beat.answered(1)
    assert beat.tick(PATIENCE + 2) is Beat.PING


def test_time_in_which_the_supervisor_itself_stood_still_does_not_count() -> None:
    time, beat = RunningTime(1000.0), Heartbeat()
    assert beat.tick(time.tick(1002.0)) is Beat.PING
    assert beat.tick(time.tick(1004.0)) is Beat.WAIT
    assert beat.tick(time.tick(5000.0)) is Beat.WAIT  # stopped for more than an hour
    beat.answered(1)
    assert beat.tick(time.tick(5002.0)) is Beat.PING
    assert time.now == 10.0


def test_ordinary_ticks_count_in_full() -> None:
    time = RunningTime(0.0)
    assert [time.tick(now) for now in (2.0, 4.5, 6.5, 10.5)] == [2.0, 4.5, 6.5, 10.5]
