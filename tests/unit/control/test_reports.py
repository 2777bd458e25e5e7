"""Reports: what is written is read again, and nothing else is."""

import json
import pickle
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.messages import (
    CLIENTS_IN_REPORT,
    Applied,
    CertificateUnusable,
    CertificateWanted,
    ControlError,
    Leaving,
    MostLimited,
    Pong,
    Ready,
    Refused,
    Report,
    Synced,
)
from proxy.control.reports import LARGEST_REPORT, decode_report, encode_report
from proxy.traffic.top_clients import LimitedClient

REPORTS: list[Report] = [
    Ready(1),
    Applied(2),
    Refused(3, "why not"),
    Pong(4, 5),
    Leaving(),
    Synced(6),
    CertificateWanted("a.test"),
    CertificateUnusable("a.test", "it has expired"),
    MostLimited(False, ()),
    MostLimited(True, (LimitedClient("192.0.2.1", 7, 0), LimitedClient("2001:db8::/64", 5, 2))),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_reports_come_back(report: Report) -> None:
    assert decode_report(encode_report(report)) == report


@given(st.text())
def test_any_reason_fits(reason: str) -> None:
    packet = encode_report(Refused(1, reason * 100))
    assert len(packet) <= LARGEST_REPORT
    assert decode_report(packet) == Refused(1, (reason * 100)[:300])


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'"ready"',
        b'{"report": "reboot"}',
        b'{"report": ["ready"]}',
        b'{"report": "ready"}',
        b'{"report": "ready", "generation": "1"}',
        b'{"report": "ready", "generation": 1.0}',
        b'{"report": "ready", "generation": true}',
        b'{"report": "ready", "generation": -1}',
        b'{"report": "ready", "generation": 9007199254740992}',
        b'{"report": "ready", "generation": 1, "more": 1}',
        b'{"report": "refused", "generation": 1, "reason": null}',
        b"[" * 4000,
        b'{"report": "ready", "generation": 1}' + b" " * LARGEST_REPORT,
        pickle.dumps(Ready(1)),
    ],
    ids=lambda packet: repr(packet[:40]),
)
def test_what_a_hostile_worker_may_send_is_refused(packet: bytes) -> None:
    with pytest.raises(ControlError):
        decode_report(packet)


@given(st.binary(max_size=200))
def test_no_octets_at_all_break_the_reader(packet: bytes) -> None:
    try:
        decode_report(packet)
    except ControlError:
        return


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_no_json_at_all_breaks_the_reader(value: object) -> None:
    with pytest.raises(ControlError):
        decode_report(json.dumps({"report": value, "generation": value}).encode())


def test_the_longest_list_of_limited_clients_fits() -> None:
    longest = LimitedClient(f"{'ffff:' * 7}ffff/128", 2**53 - 1, 2**53 - 1)
    report = MostLimited(True, (longest,) * CLIENTS_IN_REPORT)
    packet = encode_report(report)
    assert len(packet) <= LARGEST_REPORT
    assert decode_report(packet) == report


@pytest.mark.parametrize(
    "clients",
    [
        "null",
        "{}",
        '["192.0.2.1"]',
        '[["192.0.2.1", 1, 0]]',
        '[{"client": "192.0.2.1", "count": 1}]',
        '[{"client": "192.0.2.1", "count": 1, "error": 0, "more": 1}]',
        '[{"client": "192.0.2.1", "count": "1", "error": 0}]',
        '[{"client": "192.0.2.1", "count": -1, "error": 0}]',
        '[{"client": 1, "count": 1, "error": 0}]',
        '[{"client": "a\\nb", "count": 1, "error": 0}]',
        json.dumps([{"client": "a" * 51, "count": 1, "error": 0}]),
        json.dumps([{"client": "192.0.2.1", "count": 1, "error": 0}] * (CLIENTS_IN_REPORT + 1)),
    ],
)
def test_no_other_list_of_limited_clients_is_taken(clients: str) -> None:
    with pytest.raises(ControlError):
        decode_report(f'{{"report": "most-limited", "continues": false, "clients": {clients}}}'.encode())


def test_every_kind_of_report_is_tested() -> None:
    assert {type(report) for report in REPORTS} == set(get_args(Report))
