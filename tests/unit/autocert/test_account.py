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


@pytest.mark.parametrize("key_type", ["p384", "rsa2048"])
def test_a_key_that_is_no_account_key_is_refused(key_type: str) -> None:
    with pytest.raises(WrongCertificateError):
        unsealed(Account(keys.to_pem(keys.new_key(key_type))).sealed())


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[]\nkey", b'{"uri": "x"}\njunk'])
def test_junk_is_refused(content: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        unsealed(envelope.seal(account.KIND, content))
