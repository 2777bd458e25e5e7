"""Accounts are written and read, and damage is noticed."""

import pytest

from autocert import account, envelope, keys
from autocert.account import Account, new_account, unsealed
from autocert.errors import WrongCertificateError


def test_it_survives() -> None:
    found = Account(new_account().key_pem, "https://ca/account/1")
    again = unsealed(found.sealed())
    assert again == found
    assert again.thumbprint == keys.thumbprint(found.key)
    assert "PRIVATE" not in repr(found)
    known = Account(found.key_pem, found.uri, ("me@example.com",))
    assert unsealed(known.sealed()) == known


def test_one_of_an_earlier_version_survives() -> None:
    key_pem = new_account().key_pem
    sealed = envelope.seal(account.KIND, b'{"uri": "https://ca/account/1"}\n' + key_pem)
    assert unsealed(sealed) == Account(key_pem, "https://ca/account/1", None)


@pytest.mark.parametrize("key_type", ["p384", "rsa2048"])
def test_a_key_that_is_no_account_key_is_refused(key_type: str) -> None:
    with pytest.raises(WrongCertificateError):
        unsealed(Account(keys.to_pem(keys.new_key(key_type))).sealed())


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"[]\nkey", b'{"uri": "x"}\njunk', b'{"uri": "x", "contact": 7}\nkey']
)
def test_junk_is_refused(content: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        unsealed(envelope.seal(account.KIND, content))
