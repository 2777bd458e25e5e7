"""What a configuration wants: from whom, kept where, and for which names."""

from pathlib import Path

import pytest

from autocert.settings import Authority
from proxy.config.names import needs_local_ca
from proxy.config.schema import Config, ListenAddress, Server, Site, Tls
from proxy.supervisor.certificate_wishes import (
    CertificateSettingError,
    FilePair,
    Probing,
    by_plain_name,
    plain,
    probing_of,
    storages,
    wanted_of,
    wishes_of,
)


def site(*domains: str, **tls: object) -> Site:
    return Site(domains=domains, name=domains[0], tls=Tls(**tls))  # type: ignore[arg-type]  # as in the file


def test_each_mode_goes_its_own_way() -> None:
    acme, dev = site("a.test", "b.test", hold=3.0), site("dev.test", mode="self-signed")
    own = {"mode": "files", "certificate": "c", "private_key": "k"}
    sites = (acme, dev, site("own.test", **own), site("too.test", **own), site("plain.test", mode="off"))
    wishes = wishes_of(Config(sites=sites))
    assert wishes.managed == {Path("ssl_data"): (acme, dev)}
    assert wishes.files == {FilePair("c", "k"): ("own.test", "too.test")}
    assert wishes.names == {"a.test", "b.test", "dev.test", "own.test", "too.test"}
    assert wishes.hold["a.test"] == 3.0
    assert set(wishes.storage_of) == {"a.test", "b.test", "dev.test"}


ENDINGS = (
    *(
        "localhost",
        "local",
        "internal",
        "test",
        "example",
        "invalid",
        "onion",
        "arpa",
        "alt",
        "com",
        "de",
        "dev",
    ),
    *("lan", "home", "corp", "mail", "domain", "intranet", "private", "localdomain", "app", "zip", "router"),
)
ADDRESSES = ("9.9.9.9", "192.0.2.1", "10.0.0.1", "[2620:fe::fe]", "[2001:db8::1]", "[::1]")


@pytest.mark.parametrize("profile", ["", "shortlived"])
@pytest.mark.parametrize("directory", ["letsencrypt", "https://ca.test/dir"])
def test_the_check_of_a_file_knows_who_issues_for_a_name(directory: str, profile: str) -> None:
    for name in (*ENDINGS, *(f"a.{ending}" for ending in ENDINGS), "b.home.arpa", *ADDRESSES):
        (wanted,) = wanted_of(site(name, directory=directory, profile=profile)).each()
        assert needs_local_ca(name, directory, profile) == wanted.falls_to_local_ca, name


def test_without_https_nothing_is_wanted() -> None:
    assert wishes_of(Config(server=Server(https=()), sites=(site("a.test"),))).names == frozenset()


def test_names_whose_challenges_go_to_the_app_are_not_ordered_for() -> None:
    sites = (
        site("a.test", passthrough_challenges=True),
        site("b.test", mode="self-signed", passthrough_challenges=True),
    )
    wishes = wishes_of(Config(sites=sites))
    assert wishes.passed_through == {"a.test"}
    assert set(wishes.storage_of) == {"b.test"}
    assert wishes.names == {"a.test", "b.test"}


def test_sites_may_have_storages_of_their_own() -> None:
    sites = (site("a.test"), site("b.test", storage="other"), site("c.test", storage="unused", mode="off"))
    config = Config(sites=sites, server=Server(https=(ListenAddress(host="", port=443),)))
    assert storages(config) == (Path("ssl_data"), Path("other"))
    assert wishes_of(config).storage_of == {"a.test": Path("ssl_data"), "b.test": Path("other")}


def test_what_autocert_is_told() -> None:
    tls = {
        "directory": "https://ca.test/dir",
        "ca_file": "f",
        "email": "e@a.test",
        "eab_kid": "k",
        "eab_hmac_key": "h",
    }
    wanted = wanted_of(site("a.test", "[::1]", profile="p", key_type="p384", group=True, **tls))
    assert wanted.names == ("a.test", "::1")
    assert wanted.authority == Authority(**tls)
    assert (wanted.profile, wanted.key_type, wanted.group) == ("p", "p384", True)


def test_the_local_ca_needs_no_account() -> None:
    wanted = wanted_of(site("*", mode="self-signed", email="e@a.test", profile="p"))
    assert (wanted.authority, wanted.profile) == (Authority(mode="self-signed"), "")


def test_addresses_stand_in_brackets_in_the_configuration_alone() -> None:
    assert [plain("[2001:db8::1]"), plain("A.test."), plain("*")] == ["2001:db8::1", "a.test", "*"]
    assert by_plain_name(["[::1]", "a.test"]) == {"::1": "[::1]", "a.test": "a.test"}


def test_probing_is_set_by_the_environment() -> None:
    assert probing_of({}) == Probing("", 80)
    given = {"FOREGATE_RESOLVER": "127.0.0.1:5353", "FOREGATE_CHALLENGE_PORT": "5002"}
    assert probing_of(given) == Probing("127.0.0.1:5353", 5002)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOREGATE_RESOLVER", "127.0.0.1"),
        ("FOREGATE_RESOLVER", "a:b"),
        *(("FOREGATE_CHALLENGE_PORT", v) for v in ("x", "0", "70000", "")),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(CertificateSettingError, match=name):
        probing_of({name: value})
