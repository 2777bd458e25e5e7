"""A list has one network a line; what is none is told with its line."""

from ipaddress import ip_network

from proxy.config.network_lists import UnreadableLine, parse_network_list


def test_lists() -> None:
    networks, unreadable = parse_network_list("# bad ones\n10.0.0.0/8\r\n\n  2001:db8::/32  # why\n192.0.2.1")
    assert networks == (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.1/32"))
    assert unreadable == ()


def test_lines_that_are_no_networks() -> None:
    networks, unreadable = parse_network_list("10.0.0.1/8\nexample.com\n10.0.0.0/8")
    assert networks == (ip_network("10.0.0.0/8"),)
    expected = 'a network such as "10.0.0.0/8" or "2001:db8::/32"'
    assert unreadable == (
        UnreadableLine(1, "10.0.0.1/8", expected, 'did you mean "10.0.0.0/8"?'),
        UnreadableLine(2, "example.com", expected, ""),
    )


def test_an_empty_list_is_one() -> None:
    assert parse_network_list("") == ((), ())
