"""CAA records (RFC 8659), and answers of a real name server: Pebble's."""

from collections.abc import Iterator

import pytest

from autocert.resolver import Addresses, Dns, Property, Resolver, caa_allows
from tests.fakes.pebble import Pebble
from tests.fakes.ports import free_port

US = ("letsencrypt.org",)


def issue(*values: str) -> tuple[Property, ...]:
    return tuple(Property(0, "issue", value) for value in values)


@pytest.mark.parametrize(
    ("properties", "allowed"),
    [
        ((), True),
        (issue("letsencrypt.org"), True),
        (issue("LetsEncrypt.org"), True),
        (issue(" letsencrypt.org ; accounturi=https://x"), True),
        (issue("other.example", "letsencrypt.org"), True),
        (issue("other.example"), False),
        (issue(";"), False),
        (issue(""), False),
        (issue("letsencrypt.org.evil.com"), False),
        (issue("letsencrypt.org; validationmethods=dns-01"), False),
        (issue("letsencrypt.org; validationmethods=dns-01,http-01"), True),
        ((Property(0, "issuewild", ";"),), True),
        ((Property(0, "iodef", "mailto:x@y"),), True),
        ((Property(128, "strange", "x"),), False),
        ((Property(0, "strange", "x"),), True),
        ((Property(128, "issue", "letsencrypt.org"),), True),
    ],
)
def test_what_caa_records_allow(properties: tuple[Property, ...], allowed: bool) -> None:
    assert caa_allows(properties, US) is allowed


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with Pebble(tmp_path_factory.mktemp("pebble"), free_port()) as found:
        found.set_dns("set-default-ipv4", ip="")
        found.set_dns("add-a", host="both.example.com", addresses=["192.0.2.1", "192.0.2.2"])
        found.set_dns("add-aaaa", host="both.example.com", addresses=["2001:db8::1"])
        found.set_dns("set-cname", host="alias.example.com", target="both.example.com")
        found.set_dns("set-servfail", host="broken.example.com")
        policies = [{"tag": "issue", "value": "other.example"}]
        found.set_dns("add-caa", host="example.com", policies=policies)
        yield found


def test_addresses_are_found(pebble: Pebble) -> None:
    found = Resolver(pebble.resolver).addresses("both.example.com")
    assert (sorted(found.v4), found.v6) == (["192.0.2.1", "192.0.2.2"], ("2001:db8::1",))


@pytest.mark.parametrize(
    ("name", "outcome"), [("none.example.com", Dns.NOTHING), ("broken.example.com", Dns.FAILED)]
)
def test_why_there_are_none(pebble: Pebble, name: str, outcome: Dns) -> None:
    found = Resolver(pebble.resolver).addresses(name)
    assert (found.v4, found.v6, found.outcome) == ((), (), outcome)


def test_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autocert.resolver._SECONDS", 0.2)
    found = Resolver(f"127.0.0.1:{free_port()}").addresses("a.example.com")
    assert isinstance(found, Addresses)
    assert found.outcome is Dns.UNANSWERED


def test_caa_records_are_looked_for_upwards(pebble: Pebble) -> None:
    where, properties = Resolver(pebble.resolver).caa("deep.www.example.com")
    assert where == "example.com"
    assert [(entry.tag, entry.value) for entry in properties] == [("issue", "other.example")]


def test_no_caa_records(pebble: Pebble) -> None:
    assert Resolver(pebble.resolver).caa("a.example.org") == ("", ())
