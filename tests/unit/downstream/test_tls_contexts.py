"""Contexts from PEM in memory."""

import os
import ssl
from pathlib import Path

import pytest

from proxy.downstream.tls_contexts import (
    CONTEXT_LIFETIME,
    CertificateError,
    ContextCache,
    KeyPair,
    build_context,
)
from tests.fakes.certificates import Authority, encrypted_key


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> list[KeyPair]:
    return [KeyPair(*authority.pair(f"{name}.test")) for name in "abcd"]


@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_loads_a_certificate_without_a_file(authority: Authority, key_type: str) -> None:
    before = os.listdir("/proc/self/fd")
    context = build_context(KeyPair(*authority.pair("a.test", key_type=key_type)))
    assert os.listdir("/proc/self/fd") == before
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_offers_forward_secrecy_and_authenticated_encryption_alone(pairs: list[KeyPair]) -> None:
    names = [cipher["name"] for cipher in build_context(pairs[0]).get_ciphers()]
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name for name in names)


def test_the_lowest_version_can_be_raised(pairs: list[KeyPair]) -> None:
    assert build_context(pairs[0], "1.3").minimum_version is ssl.TLSVersion.TLSv1_3


def test_says_what_is_wrong_with_a_pair(pairs: list[KeyPair]) -> None:
    good = pairs[0]
    for chain, key, message in (
        (good.chain, pairs[1].key, "the private key does not belong to the certificate"),
        (b"", good.key, "holds no PEM certificate"),
        (good.key, good.key, "holds no PEM certificate"),
        (good.chain, b"", "holds no PEM private key"),
        (good.chain, encrypted_key(), "the private key is encrypted"),
        (good.chain[:-60], good.key, "damaged"),
        (good.chain, good.key.replace(b"M", b"?"), "damaged"),
        (good.chain[:100] + b"\x00\xff" + good.chain[102:], good.key, "damaged"),
    ):
        with pytest.raises(CertificateError, match=message):
            build_context(KeyPair(chain, key))


def test_a_pair_does_not_show_its_key(pairs: list[KeyPair]) -> None:
    assert "PRIVATE" not in repr(pairs[0])


def test_keeps_the_contexts_used_last(pairs: list[KeyPair]) -> None:
    cache = ContextCache(lambda: 0.0, size=2)
    first = cache.get(pairs[0], "1.2")
    second = cache.get(pairs[1], "1.2")
    assert cache.get(pairs[0], "1.2") is first
    cache.get(pairs[2], "1.2")
    assert len(cache) == 2
    assert cache.get(pairs[0], "1.2") is first
    assert cache.get(pairs[1], "1.2") is not second


def test_equal_pairs_share_a_context_and_versions_do_not(pairs: list[KeyPair]) -> None:
    cache = ContextCache(lambda: 0.0)
    copy = KeyPair(bytes(bytearray(pairs[0].chain)), bytes(bytearray(pairs[0].key)))
    assert cache.get(copy, "1.2") is cache.get(pairs[0], "1.2")
    assert cache.get(pairs[0], "1.3") is not cache.get(pairs[0], "1.2")


def test_ticket_keys_do_not_live_for_ever(pairs: list[KeyPair]) -> None:
    now = 1000.0
    cache = ContextCache(lambda: now)
    first = cache.get(pairs[0], "1.2")
    now += CONTEXT_LIFETIME - 1
    assert cache.get(pairs[0], "1.2") is first
    now += 2
    assert cache.get(pairs[0], "1.2") is not first
    assert len(cache) == 1


def test_forgets_a_pair_in_all_versions(pairs: list[KeyPair]) -> None:
    cache = ContextCache(lambda: 0.0)
    for version in ("1.2", "1.3"):
        cache.get(pairs[0], version)
    cache.get(pairs[1], "1.2")
    cache.forget(pairs[0])
    assert len(cache) == 1


def test_folder_of_the_authority_is_not_needed(pairs: list[KeyPair], tmp_path: Path) -> None:
    assert not list(tmp_path.iterdir())
    build_context(pairs[0])
    assert not list(tmp_path.iterdir())
