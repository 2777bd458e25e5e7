"""Damage of any kind is noticed when a stored file is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocert.envelope import seal, unseal
from autocert.errors import WrongCertificateError

SEALED = seal("thing", b"some content\nin lines\n")


def test_what_was_sealed_is_returned() -> None:
    assert unseal("thing", SEALED) == b"some content\nin lines\n"
    assert unseal("thing", seal("thing", b"")) == b""


def test_the_content_stays_readable_for_others() -> None:
    assert SEALED.endswith(b"\nsome content\nin lines\n")


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_cut_file_is_refused_wherever_it_was_cut(length: int) -> None:
    with pytest.raises(WrongCertificateError):
        unseal("thing", SEALED[:length])


@pytest.mark.parametrize("position", range(len(SEALED)))
def test_a_flipped_bit_is_noticed_wherever_it_is(position: int) -> None:
    flipped = bytearray(SEALED)
    flipped[position] ^= 1
    with pytest.raises(WrongCertificateError):
        unseal("thing", bytes(flipped))


def test_another_kind_and_more_content_are_refused() -> None:
    for content in (seal("other", b"x"), SEALED + b"x", b"\0" * len(SEALED)):
        with pytest.raises(WrongCertificateError):
            unseal("thing", content)


@given(st.binary(max_size=300))
def test_junk_is_refused_and_nothing_worse(junk: bytes) -> None:
    with pytest.raises(WrongCertificateError):
        unseal("thing", junk)
