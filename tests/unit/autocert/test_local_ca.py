"""The local CA: a root that stays, and leaves that a client who trusts it accepts."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from autocert.certificate import LOCAL, Certificate
from autocert.local_ca import LocalCa, placeholder
from autocert.storage import Storage
from tests.fakes.autocert_world import FastDisk

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(tmp_path / "ssl", FastDisk())
    found.prepare(NOW)
    return found


def leaf(certificate: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.chain_pem)


def test_the_root_is_made_once(storage: Storage) -> None:
    first = LocalCa(storage).issue(("a.test",), "p256", NOW)
    second = LocalCa(storage).issue(("b.test",), "p256", NOW + 1)
    roots = {x509.load_pem_x509_certificates(one.chain_pem)[1] for one in (first, second)}
    assert len(roots) == 1
    assert LocalCa(storage).root_path.read_bytes() in first.chain_pem


def test_a_leaf_is_what_a_leaf_should_be(storage: Storage) -> None:
    made = LocalCa(storage).issue(("a.test", "192.168.1.5", "fd00::1"), "p256", NOW)
    found = leaf(made)
    assert made.origin == LOCAL
    assert (made.not_after - made.not_before) < 397 * DAY
    assert made.not_before < NOW - 60
    root = x509.load_pem_x509_certificates(made.chain_pem)[1]
    extensions = found.extensions
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert authority == root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    alternative = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.DNSName) == ["a.test"]
    assert [str(one) for one in alternative.get_values_for_type(x509.IPAddress)] == ["192.168.1.5", "fd00::1"]
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


@pytest.mark.parametrize("key_type", ["p256", "p384", "rsa2048"])
async def test_a_client_that_trusts_the_root_accepts_it(
    storage: Storage, tmp_path: Path, key_type: str
) -> None:
    from time import time

    ca = LocalCa(storage)
    made = ca.issue(("localhost", "127.0.0.1"), key_type, time())
    pem = tmp_path / "server.pem"
    pem.write_bytes(made.key_pem + made.chain_pem)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cafile=str(ca.root_path))
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by default
        for name in ("localhost", "127.0.0.1"):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name
            )
            assert await reader.read() == b"hello"
            writer.close()


def test_a_root_that_ends_soon_is_replaced(storage: Storage) -> None:
    old = LocalCa(storage).issue(("a.test",), "p256", NOW)
    new = LocalCa(storage).issue(("a.test",), "p256", NOW + 3600 * DAY)
    assert (
        x509.load_pem_x509_certificates(old.chain_pem)[1] != x509.load_pem_x509_certificates(new.chain_pem)[1]
    )


def test_a_damaged_root_is_replaced_and_said_so(storage: Storage) -> None:
    LocalCa(storage).issue(("a.test",), "p256", NOW)
    (storage.root / "local-ca" / "current").write_bytes(b"")
    ca = LocalCa(storage)
    ca.issue(("a.test",), "p256", NOW)
    assert [damage.reason for damage in ca.damage] == ["the file is empty"]
    assert LocalCa(storage).issue(("a.test",), "p256", NOW)


def test_a_certificate_for_any_name_is_for_this_machine_too(storage: Storage) -> None:
    made = LocalCa(storage).issue(("*",), "p256", NOW)
    assert made.names == ("*",)
    alternative = leaf(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in alternative.get_values_for_type(x509.DNSName)


def test_a_placeholder_needs_no_root() -> None:
    made = placeholder("a.example.com", NOW)
    assert made.covers(["a.example.com"])
    assert made.not_after - NOW <= DAY
