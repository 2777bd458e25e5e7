"""Whom we trust as an https upstream, with every Python alike."""

import contextlib
import ssl
from pathlib import Path

import pytest

from proxy.errors import TlsFailureError
from proxy.upstream.trust import UpstreamTls, verifying_context
from tests.fakes.certificates import Authority

NAME = "app.internal"


def greet(client: ssl.SSLContext, server: ssl.SSLContext, name: str = NAME) -> None:
    """Run a handshake in memory. Raises ssl.SSLError as the client does."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs, ours):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()


def test_a_ca_without_key_usage_is_trusted_when_it_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)  # it has no key usage, which Python 3.13 would object to
    context = verifying_context(str(authority.ca_file))
    greet(context, authority.server_context(NAME))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_the_upstreams_own_certificate_will_do(tmp_path: Path) -> None:
    server = Authority(tmp_path).server_context(NAME)
    greet(verifying_context(str(tmp_path / f"{NAME}.pem")), server)


def test_another_ca_or_another_name_will_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server_context(NAME)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        greet(verifying_context(str(authority.ca_file)), server, "other.internal")
    (tmp_path / "other").mkdir()
    for ca_file in (str(Authority(tmp_path / "other").ca_file), ""):
        with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
            greet(verifying_context(ca_file), server)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(TlsFailureError, match=name):
            UpstreamTls().context(str(tmp_path / name))
