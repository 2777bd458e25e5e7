"""Lists in files are read line by line, and every bad line is named with a cure."""

from ipaddress import ip_network

import pytest

from proxy.traffic.address_lists import listed_files, parse_address_list


def test_addresses_networks_comments_and_blank_lines_are_read() -> None:
    text = """\
# our offices
192.0.2.7
10.0.0.0/8   # the inside
2001:db8::/32 ; documentation

\t2001:db9::1\t
; the end"""
    parsed = parse_address_list(text)
    assert parsed.networks == tuple(
        map(ip_network, ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "2001:db9::1"])
    )
    assert parsed.faults == ()


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "\ufeff"])
def test_an_empty_list_is_no_fault(text: str) -> None:
    assert parse_address_list(text) == parse_address_list("")


def test_line_ends_and_a_byte_order_mark_of_other_systems_are_taken() -> None:
    assert len(parse_address_list("\ufeff10.0.0.0/8\r\n192.0.2.1\r\n").networks) == 2


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("2001:db8::1/32", "did you mean 2001:db8::/32?"),
        ("10.0.0.0/33", "/33 is no prefix length of 10.0.0.0"),
        ("10.0.0.0/x", "/x is no prefix length of 10.0.0.0"),
        ("::1/129", "/129 is no prefix length of ::1"),
        ("10.0.0", "expected one address or network a line"),
        ("example.com", "expected one address or network a line"),
        ("10.0.0.0/8, 192.0.2.1", "expected one address or network a line"),
        ("10.0.0.0/8 192.0.2.1", "expected one address or network a line"),
        ("10.0.0.1-10.0.0.9", "expected one address or network a line"),
        ("*", "expected one address or network a line"),
        ("x" * 100_000, "expected one address or network a line"),
    ],
)
def test_a_fault_names_its_line_and_a_cure(line: str, hint: str) -> None:
    parsed = parse_address_list(f"192.0.2.1\n\n{line}\n192.0.2.2\n")
    assert len(parsed.networks) == 2
    [fault] = parsed.faults
    assert fault.line == 3
    assert line.startswith(fault.found)
    assert len(fault.found) <= 60
    assert hint in fault.hint


def test_faults_are_bounded() -> None:
    assert len(parse_address_list("nonsense\n" * 1000).faults) == 20


def test_the_files_of_a_list_are_named_in_order() -> None:
    assert listed_files([ip_network("10.0.0.0/8"), "file:b.txt", "file:a.txt"]) == ("b.txt", "a.txt")
