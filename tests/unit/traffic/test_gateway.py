"""The default gateway is read from the kernel's tables, and named when all clients come from it."""

import sys

import pytest

from proxy.traffic.gateway import ALARM_INTERVAL_S, GatewayAlarm, default_gateways

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
V6_ZERO = "0" * 32


def route(destination: str, gateway: str, flags: str = "0003", mask: str = "00000000") -> str:
    return f"eth0\t{destination}\t{gateway}\t{flags}\t0\t0\t0\t{mask}\t0\t0\t0\n"


def native(a: int, b: int, c: int, d: int) -> str:
    """Write an address as the kernel of this machine would."""
    return f"{int.from_bytes(bytes((a, b, c, d)), sys.byteorder):08X}"


def test_the_gateway_of_a_container_is_found() -> None:
    text = HEAD + route("00000000", native(172, 17, 0, 1)) + route(native(172, 17, 0, 0), "00000000", "0001")
    assert default_gateways(text, "") == {bytes((172, 17, 0, 1))}


def test_gateways_of_other_networks_are_left_out() -> None:
    others = route(native(10, 0, 0, 0), native(172, 17, 0, 9), mask=native(255, 0, 0, 0))
    half = route("00000000", native(172, 17, 0, 8), mask=native(128, 0, 0, 0))
    no_gateway = route("00000000", "00000000", "0001")
    assert default_gateways(HEAD + others + half + no_gateway, "") == frozenset()


def test_several_default_gateways_are_all_found() -> None:
    text = HEAD + route("00000000", native(172, 17, 0, 1)) + route("00000000", native(172, 18, 0, 1))
    assert len(default_gateways(text, "")) == 2


def test_the_ipv6_gateway_is_found_and_the_reject_route_is_not() -> None:
    gateway = "fd000000000000000000000000000001"
    rest = "00000400 00000002 00000000"
    text = (
        f"fd{'0' * 30} 40 {V6_ZERO} 00 {V6_ZERO} 00000100 00000001 00000000 00000001     eth0\n"
        f"{V6_ZERO} 00 {V6_ZERO} 00 {gateway} {rest} 00000003     eth0\n"
        f"{V6_ZERO} 00 {V6_ZERO} 00 {V6_ZERO} ffffffff 00000001 00000000 00200200       lo\n"
    )
    assert default_gateways("", text) == {bytes.fromhex(gateway)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "nonsense",
        HEAD + "eth0 00000000\n",
        HEAD + route("00000000", "zzzzzzzz"),
        HEAD + route("00000000", "112233445566"),
        HEAD + route("00000000", "01010101", flags="zz"),
        f"{V6_ZERO} 00 {V6_ZERO} 00 zz 0 0 0 00000003 eth0",
    ],
)
def test_lines_in_another_form_name_no_gateway(text: str) -> None:
    assert default_gateways(text, text) == frozenset()


def test_this_machine_has_gateways_of_the_right_form() -> None:
    with open("/proc/net/route", encoding="ascii") as file:
        text = file.read()
    assert all(len(gateway) == 4 for gateway in default_gateways(text, ""))


def test_the_alarm_sounds_when_nearly_all_come_from_the_gateway() -> None:
    alarm = GatewayAlarm()
    message = alarm.check(1000, 990, now=0.0)
    assert message is not None
    assert message.startswith("99% of the last 1000 connections came from the default gateway")
    assert "Do not trust the gateway" in message


def test_few_connections_say_nothing_yet_but_are_remembered() -> None:
    alarm = GatewayAlarm()
    assert alarm.check(199, 199, now=0.0) is None
    assert alarm.check(200, 200, now=1.0) is not None


def test_other_clients_keep_the_alarm_quiet() -> None:
    assert GatewayAlarm().check(1000, 900, now=0.0) is None


def test_only_connections_since_the_last_check_count() -> None:
    alarm = GatewayAlarm()
    assert alarm.check(100_000, 0, now=0.0) is None
    assert alarm.check(100_200, 200, now=60.0) is not None


def test_the_alarm_sounds_once_an_hour() -> None:
    alarm = GatewayAlarm()
    heard = [alarm.check(turn * 1000, turn * 1000, now=turn * 60.0) is not None for turn in range(1, 122)]
    assert sum(heard) == 1 + 120 // int(ALARM_INTERVAL_S / 60)
