"""Keys, requests and thumbprints."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from autocert import keys
from autocert.certificate import subject_names
from autocert.errors import SettingsError, WrongCertificateError


def test_key_types() -> None:
    p256, p384, rsa2048 = (keys.new_key(kind) for kind in keys.KEY_TYPES)
    assert isinstance(p256, ec.EllipticCurvePrivateKey)
    assert p256.curve.name == "secp256r1"
    assert isinstance(p384, ec.EllipticCurvePrivateKey)
    assert p384.curve.name == "secp384r1"
    assert isinstance(rsa2048, rsa.RSAPrivateKey)
    assert rsa2048.key_size == 2048


def test_an_unknown_key_type_is_named() -> None:
    with pytest.raises(SettingsError, match=r"rsa1024.*p256"):
        keys.new_key("rsa1024")


def test_keys_are_written_and_read() -> None:
    key = keys.new_key("p256")
    assert keys.to_pem(keys.from_pem(keys.to_pem(key))) == keys.to_pem(key)


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_junk_is_no_key(junk: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        keys.from_pem(junk)


def test_a_request_holds_its_names_in_the_san_alone() -> None:
    request = x509.load_der_x509_csr(
        keys.signing_request(keys.new_key("p256"), ["a.example.com", "192.0.2.1"])
    )
    assert subject_names(request) == ("a.example.com", "192.0.2.1")
    assert list(request.subject) == []
    assert request.is_signature_valid


def test_the_thumbprint_is_the_library_s() -> None:
    from josepy.b64 import b64encode
    from josepy.jwk import JWKEC

    key = keys.new_key("p256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert keys.thumbprint(key) == b64encode(JWKEC(key=key).thumbprint()).decode()
