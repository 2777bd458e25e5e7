"""What is wanted, taken apart into one certificate each."""

import pytest

from autocert.errors import SettingsError
from autocert.settings import Authority, Wanted

LOCAL = Authority(mode="self-signed")
PRIVATE = Authority(directory="https://ca.corp.example:9000/acme/directory")


def parts(wanted: Wanted) -> list[tuple[str, ...]]:
    return [one.names for one in wanted.each()]


def test_one_certificate_a_name_or_one_for_all() -> None:
    names = ("a.example.com", "b.example.com", "A.example.com.")
    assert parts(Wanted(names=names)) == [("a.example.com",), ("b.example.com",)]
    assert parts(Wanted(names=names, group=True)) == [("a.example.com", "b.example.com")]


def test_names_that_no_public_ca_serves_fall_to_the_local_one() -> None:
    public, local = Wanted(names=("a.example.com", "localhost"), group=True).each()
    assert (public.names, public.is_local) == (("a.example.com",), False)
    assert (local.names, local.is_local, local.falls_to_local_ca) == (("localhost",), True, True)


def test_any_other_directory_is_simply_asked() -> None:
    (one,) = Wanted(names=("db.internal",), authority=PRIVATE).each()
    assert not one.is_local


def test_addresses_are_let_s_encrypt_s_only_under_its_profile_for_them() -> None:
    assert Wanted(names=("8.8.8.8",)).each()[0].is_local
    assert not Wanted(names=("8.8.8.8",), profile="shortlived").each()[0].is_local
    assert Wanted(names=("10.0.0.1",), profile="shortlived").each()[0].is_local


def test_self_signed_is_local_by_choice() -> None:
    (one,) = Wanted(names=("a.example.com",), authority=LOCAL).each()
    assert one.is_local
    assert not one.falls_to_local_ca


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (Wanted(names=("a b",)), "a b"),
        (Wanted(names=("a.com",), key_type="rsa1024"), "rsa1024"),
        (Wanted(names=("a.com",), authority=Authority(mode="files")), "files"),
        (Wanted(names=("a.com",), authority=Authority(directory="letsencript")), "letsencript"),
        (Wanted(names=("a.com",), authority=Authority(eab_kid="k")), "eab_hmac_key"),
        (Wanted(names=("*",)), "self-signed"),
        (Wanted(names=("*.a.com",)), "wildcard"),
    ],
)
def test_what_cannot_work_is_named(wanted: Wanted, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        wanted.each()


def test_any_name_with_the_local_ca() -> None:
    (one,) = Wanted(names=("*",), authority=LOCAL).each()
    assert "*" not in one.ident


def test_cas_are_called_by_name() -> None:
    assert Authority().name == "Let's Encrypt"
    assert Authority(directory="letsencrypt-staging").is_lets_encrypt
    assert PRIVATE.name == "the CA ca.corp.example"
    assert not PRIVATE.is_lets_encrypt


def test_accounts_are_one_per_directory_and_external_account() -> None:
    folders = {
        authority.folder
        for authority in (
            Authority(),
            Authority(email="me@example.com"),
            Authority(directory="letsencrypt-staging"),
            Authority(eab_kid="k", eab_hmac_key="h"),
            PRIVATE,
        )
    }
    assert len(folders) == 4
    assert not any("/" in folder for folder in folders)


def test_secrets_are_not_shown() -> None:
    assert "topsecret" not in repr(Authority(eab_kid="k", eab_hmac_key="topsecret"))
