"""What makes a certificate usable, and how it is written and read."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from autocert import certificate, envelope, keys
from autocert.certificate import Certificate, checked
from autocert.errors import WrongCertificateError
from tests.fakes.certificates import ODD_NAMES, Authority
from tests.fakes.root_ca import TestCa

NOW = 1_800_000_000.0
CA = TestCa(now=NOW)


def made(names: list[str], *, begins: float = -3600.0, lasts: float = 90 * 86400.0) -> Certificate:
    key, chain = CA.issue(names, begins=begins, lasts=lasts)
    return checked(key, chain, names=tuple(names), origin="https://ca/dir", profile="p", stored_at=NOW)


def test_it_knows_names_dates_issuer_and_identity() -> None:
    found = made(["a.example.com", "192.0.2.1"])
    assert found.names == ("a.example.com", "192.0.2.1")
    assert (found.not_before, found.not_after) == (NOW - 3600, NOW - 3600 + 90 * 86400)
    assert found.issuer == "CN=test CA"
    assert len(found.fingerprint) == 64
    assert found.covers(["192.0.2.1"])
    assert not found.covers(["a.example.com", "b.example.com"])


def test_it_is_written_and_read_again() -> None:
    found = made(["a.example.com"])
    assert certificate.unsealed(found.sealed()) == found


def test_any_tool_can_read_the_stored_file() -> None:
    assert x509.load_pem_x509_certificates(made(["a.example.com"]).sealed())[0].serial_number


def test_the_later_stored_one_is_known_whatever_the_clock_did() -> None:
    old, new = made(["a.example.com"]), replace(made(["a.example.com"], begins=0.0), stored_at=NOW + 10)
    assert new.is_later_than(old, NOW + 20)
    assert not old.is_later_than(new, NOW + 20)
    from_the_future = replace(old, stored_at=NOW + 1e7)
    assert new.is_later_than(from_the_future, NOW + 20)
    assert not from_the_future.is_later_than(new, NOW + 20)


def test_keys_are_not_shown() -> None:
    assert "PRIVATE" not in repr(made(["a.example.com"]))


def test_an_expired_certificate_passes() -> None:
    assert made(["a.example.com"], begins=-100 * 86400, lasts=86400.0).not_after < NOW


@pytest.mark.parametrize("key_type", keys.KEY_TYPES)
def test_every_kind_of_key(key_type: str) -> None:
    key, chain = CA.issue(["a.example.com"], key_type=key_type)
    found = checked(key, chain, names=("a.example.com",), origin="x", profile="", stored_at=NOW)
    assert certificate.unsealed(found.sealed()) == found


def test_the_ari_identifier_is_that_of_the_standard() -> None:
    """RFC 9773 section 4.1: the serial number as DER has it, with a zero octet where its top bit is set."""
    found = made(["a.example.com"])
    key_identifier, serial = found.ari_id.split(".")
    assert certificate._unpadded(found.serial.to_bytes(found.serial.bit_length() // 8 + 1, "big")) == serial
    assert len(key_identifier) == 27
    assert "=" not in found.ari_id


def refused(key: bytes, chain: bytes, names: tuple[str, ...] = ("a.example.com",)) -> str:
    with pytest.raises(WrongCertificateError) as caught:
        checked(key, chain, names=names, origin="x", profile="", stored_at=NOW)
    return str(caught.value)


def test_a_key_of_another_certificate_is_refused() -> None:
    key, _ = CA.issue(["a.example.com"])
    _, chain = CA.issue(["a.example.com"])
    assert "key is not the certificate's" in refused(key, chain)


def test_a_chain_that_does_not_hang_together_is_refused() -> None:
    key, chain = CA.issue(["a.example.com"])
    leaf = chain.removesuffix(CA.root_pem)
    assert "hang together" in refused(key, leaf + TestCa("test CA").root_pem)
    assert "hang together" in refused(key, leaf + leaf)


def test_missing_names_are_refused() -> None:
    key, chain = CA.issue(["a.example.com"])
    assert "b.example.com" in refused(key, chain, ("a.example.com", "b.example.com"))


@pytest.mark.parametrize("names", ODD_NAMES)
def test_names_that_cannot_be_read_are_none(tmp_path: Path, names: bytes) -> None:
    pair = Authority(tmp_path).odd_pair(names)
    assert refused(pair.key, pair.chain) == "it is not for a.example.com"


def test_junk_is_refused() -> None:
    key, chain = CA.issue(["a.example.com"])
    assert "chain cannot be read" in refused(key, b"")
    assert "chain cannot be read" in refused(
        key, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    assert "key cannot be read" in refused(b"junk", chain)
    assert "certificates" in refused(key, chain + CA.root_pem * 20)


def test_a_stored_file_whose_parts_do_not_belong_together_is_refused() -> None:
    one, other = made(["a.example.com"]), made(["a.example.com"])
    with pytest.raises(WrongCertificateError):
        certificate.unsealed(replace(one, key_pem=other.key_pem).sealed())
    with pytest.raises(WrongCertificateError):
        certificate.unsealed(replace(one, names=("b.example.com",)).sealed())


@pytest.mark.parametrize("notes", [b"", b"{}", b"[]", b'{"names": 1}', b"\xff"])
def test_notes_that_cannot_be_read_are_refused(notes: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        certificate.unsealed(envelope.seal(certificate.KIND, notes + b"\n"))
