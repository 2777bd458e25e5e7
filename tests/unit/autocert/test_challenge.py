"""Answers to HTTP-01 challenges, for well-formed tokens only."""

import subprocess
import sys

import pytest

from autocert.challenge import answer, is_token, key_authorization

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


def test_the_example_of_the_standard() -> None:
    """RFC 8555 section 8.3."""
    thumbprint = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
    expected = f"{TOKEN}.{thumbprint}"
    assert key_authorization(TOKEN, thumbprint) == expected
    assert answer(f"/.well-known/acme-challenge/{TOKEN}", thumbprint) == expected


@pytest.mark.parametrize(
    "token",
    [
        *("", "short", "a" * 21, "a" * 257, TOKEN + "/", TOKEN + "\n", TOKEN + "%41", TOKEN + "="),
        *("<script>" + TOKEN, "../" + TOKEN, TOKEN + "?x", "é" + TOKEN),
    ],
)
def test_what_is_no_token_is_not_echoed(token: str) -> None:
    assert not is_token(token)
    assert answer(f"/.well-known/acme-challenge/{token}", "t") is None


@pytest.mark.parametrize("path", ["/", f"/x/.well-known/acme-challenge/{TOKEN}", f"/.well-known/{TOKEN}"])
def test_other_paths_are_not_answered(path: str) -> None:
    assert answer(path, "t") is None


def test_a_worker_that_answers_challenges_loads_no_certificate_code() -> None:
    heavy = ("cryptography", "acme", "asyncio")
    script = f"import sys, autocert.challenge; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": "acme"}
    )
    assert found.stdout.strip() == "[]"
