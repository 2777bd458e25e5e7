"""Foregate's own log: one line per event, whatever it holds."""

import json
import logging
import os
from collections.abc import Callable, Iterator

import pytest

from proxy.telemetry import process_log
from proxy.telemetry.process_log import configure, fields, logger

Written = Callable[[], str]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Return a function that returns everything written to what stands in for stderr."""
    reader, writer = os.pipe()
    monkeypatch.setattr(process_log, "STDERR", writer)
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("foregate").level)
    open_ends = [writer]

    def read() -> str:
        os.close(open_ends.pop())
        with open(reader, closefd=False) as pipe:
            return pipe.read()

    yield read
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    logging.getLogger("foregate").setLevel(before[2])
    for descriptor in (reader, *open_ends):
        os.close(descriptor)


def test_json_holds_the_event_and_its_fields(written: Written) -> None:
    configure("json", "info", worker=3)
    logger("supervisor").warning("worker ended", extra=fields(pid=17, reason='killed "by"\nSIGKILL'))
    line = written()
    assert line.count("\n") == 1
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "warning",
        "part": "supervisor",
        "event": "worker ended",
        "worker": 3,
        "pid": 17,
        "reason": 'killed "by"\nSIGKILL',
    }


def test_text_is_one_line_of_pairs(written: Written) -> None:
    configure("combined", "info")
    logger("worker").error(
        "bad\x1b[31m\nthing", extra=fields(plain="word", odd='a "b"\nc=d', number=2, empty="")
    )
    time, _, rest = written().partition(" ")
    assert time.endswith("Z")
    assert rest == 'error worker bad\\x1b[31m\\nthing plain=word odd="a \\"b\\"\\nc=d" number=2 empty=""\n'


@pytest.mark.parametrize("form", ["json", "combined"])
def test_a_traceback_stays_on_the_line(written: Written, form: str) -> None:
    configure(form, "info")
    try:
        raise ValueError("over\ntwo lines")
    except ValueError:
        logger("worker").exception("a fault")
    line = written()
    assert line.count("\n") == 1
    assert "Traceback" in line
    assert "over" in line


def test_the_level_holds_for_foregate_and_libraries_speak_up_from_warnings_on(written: Written) -> None:
    configure("combined", "info")
    logger("worker").debug("one")
    logger("worker").info("two")
    logging.getLogger("library").info("three")
    logging.getLogger("library").warning("four")
    assert [line.split()[3] for line in written().splitlines()] == ["two", "four"]


def test_configuring_again_replaces_the_settings(written: Written) -> None:
    configure("json", "info")
    configure("combined", "debug")
    logger("worker").debug("once")
    assert len(written().splitlines()) == 1


def test_long_texts_are_shortened(written: Written) -> None:
    configure("json", "info")
    logger("worker").info("long", extra=fields(text="x" * 10_000))
    assert len(written()) < 4096


def test_a_stderr_that_is_gone_loses_lines_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, written: Written
) -> None:
    configure("json", "info")
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(process_log, "STDERR", writer)
    logger("worker").info("nobody hears this")
    os.close(writer)
    assert written() == ""
