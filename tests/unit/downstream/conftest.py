"""A TLS connection between a client in memory and our side, for those who test what happens on it."""

import pytest

from proxy.downstream.tls_contexts import KeyPair
from tests.fakes.certificates import Authority
from tests.fakes.tls_connection import Connection


@pytest.fixture(scope="module")
def pair(authority: Authority) -> KeyPair:
    """Return a certificate with its key."""
    return KeyPair(*authority.pair("app.example.com"))


@pytest.fixture
def connection(authority: Authority, pair: KeyPair) -> Connection:
    """Return a connection whose handshake is done."""
    connection = Connection(authority, pair)
    connection.start()
    return connection
