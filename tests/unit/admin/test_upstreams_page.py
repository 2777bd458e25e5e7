"""Upstreams on the status page."""

from typing import Any

from proxy.admin.upstreams_page import upstreams_section


def test_names_and_probed_addresses() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "app", "addresses": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], "fault": ""},
        {"name": "gone", "addresses": [], "fault": "there is no such name"},
        {"name": "app", "address": "10.0.0.1:80", "healthy": True, "reason": ""},
        {"name": "app", "address": "10.0.0.2:80", "healthy": False, "reason": "answered 503"},
    ]
    assert upstreams_section(rows) == [
        "UPSTREAM  ADDRESS                            STATE",
        "app       10.0.0.1, 10.0.0.2, 10.0.0.3, ...  resolved",
        "gone      -                                  there is no such name",
        "app       10.0.0.1:80                        healthy",
        "app       10.0.0.2:80                        unhealthy: answered 503",
    ]


def test_many_are_summed_up_and_those_with_a_fault_shown() -> None:
    rows: list[dict[str, Any]] = [
        {"name": f"app{number}", "addresses": ["10.0.0.1"], "fault": ""} for number in range(30)
    ]
    rows[7]["fault"] = "no answer"
    assert upstreams_section(rows) == [
        "upstreams: 30, 1 with a fault",
        "UPSTREAM  ADDRESS   STATE",
        "app7      10.0.0.1  no answer",
    ]


def test_without_any_there_is_nothing_to_say() -> None:
    assert upstreams_section([]) == []
