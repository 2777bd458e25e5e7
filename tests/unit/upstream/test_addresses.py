import pickle

import pytest

from proxy.upstream.addresses import (
    HealthCheck,
    HealthReport,
    TargetKey,
    UpstreamAddresses,
    interleave,
    literal_addresses,
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("::1", ("::1",)),
        ("[2001:DB8::1]", ("2001:db8::1",)),
        ("localhost", ("127.0.0.1", "::1")),
        ("LocalHost.", ("127.0.0.1", "::1")),
        ("app", None),
        ("192.0.2", None),
        ("localhost.example.com", None),
    ],
)
def test_literals_need_no_lookup(host: str, expected: tuple[str, ...] | None) -> None:
    assert literal_addresses(host) == expected


@pytest.mark.parametrize(
    ("found", "ordered"),
    [
        ([], ()),
        (["10.0.0.2", "10.0.0.10", "10.0.0.1"], ("10.0.0.1", "10.0.0.2", "10.0.0.10")),
        (["10.0.0.1", "10.0.0.1"], ("10.0.0.1",)),
        (
            ["fd00::1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::2"],
            ("fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "10.0.0.3"),
        ),
        (["10.0.0.1", "fd00::1"], ("10.0.0.1", "fd00::1")),
    ],
)
def test_families_alternate_and_rotation_changes_nothing(found: list[str], ordered: tuple[str, ...]) -> None:
    assert interleave(found) == ordered


def test_messages_survive_pickling() -> None:
    check = HealthCheck(path="/healthz", authority="app.example.com", interval=10.0)
    key = TargetKey(scheme="https", host="app", port=443, address="10.0.0.1", check=check)
    for message in (
        UpstreamAddresses(name="app", addresses=("10.0.0.1",), fault="no such name"),
        HealthReport(key=key, healthy=False, reason="answered 503"),
    ):
        assert pickle.loads(pickle.dumps(message)) == message
