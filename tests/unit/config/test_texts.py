"""Switches, numbers, words and the rest: TOML's own types are taken as they are, nothing is coerced."""

from collections.abc import Callable

import pytest

from proxy.config import texts
from proxy.config.errors import UnacceptableError


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("yes", "did you mean true, without quotes?"),
        ("true", "did you mean true, without quotes?"),
        ("Off", "did you mean false, without quotes?"),
        (1, "did you mean true, without quotes?"),
        (0, "did you mean false, without quotes?"),
        (2, ""),
        ("", ""),
        (None, ""),
        ([], ""),
    ],
)
def test_no_other_value_is_a_boolean(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError, match="true or false") as caught:
        texts.parse_bool(value)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("4", "did you mean 4, without quotes?"),
        (4.0, ""),
        (True, ""),
        (-1, ""),
        (11, ""),
        (10**30, ""),
        ("4x", ""),
        (None, ""),
    ],
)
def test_no_other_value_is_a_whole_number(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError, match="a whole number between 0 and 10") as caught:
        texts.parse_whole(value, least=0, most=10)
    assert caught.value.hint == hint


def test_plain_values_are_taken() -> None:
    assert texts.parse_bool(True) is True
    assert texts.parse_whole(10, least=0, most=10) == 10
    assert texts.parse_workers("auto") == "auto"
    assert texts.parse_workers(4) == 4
    assert texts.parse_choice("b", ("a", "b")) == "b"
    assert texts.parse_choice("X-Real-IP", ("x-real-ip",), ignore_case=True) == "x-real-ip"
    assert texts.parse_text("kid 1") == "kid 1"


@pytest.mark.parametrize("value", ["Auto", "", 0, 1025, True, 2.0, "4"])
def test_workers_refused(value: object) -> None:
    with pytest.raises(UnacceptableError, match='"auto" or a number between 1 and 1024'):
        texts.parse_workers(value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("combine", 'did you mean "combined"?'),
        ("JSON", 'did you mean "json"?'),
        ("xml", ""),
        (1.2, ""),
        (True, ""),
        (None, ""),
    ],
)
def test_other_words_are_refused_with_a_guess(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError, match='"json" or "combined"') as caught:
        texts.parse_choice(value, ("json", "combined"))
    assert caught.value.hint == hint


def test_a_version_without_quotes_is_guessed() -> None:
    with pytest.raises(UnacceptableError) as caught:
        texts.parse_choice(1.3, ("1.2", "1.3"))
    assert caught.value.hint == 'did you mean "1.3"?'


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (texts.parse_text, ["", "a b"], ["a\nb", "a\x1b[31m", "\u202ea", 3, None]),
        (texts.parse_secret, ["", "s3cr3t!~"], ["a b", "é", "a\n", 3]),
        (
            texts.parse_hmac_key,
            ["", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"],
            ["a b", "a+b", "A", 3],
        ),
        (texts.parse_file, ["", "a/b.pem", "/x"], ["~/x", "a\0b", 3]),
        (texts.parse_folder, ["ssl_data"], ["", "~", "a\0b", 3]),
        (texts.parse_access, ["stdout", "off", "a.log", "/dev/stderr"], ["", "stderr", "~/x", 3]),
        (
            texts.parse_user,
            ["", "foregate", "www-data", "1000", "_x"],
            ["a b", "foregate:foregate", "-x", 3, 1000],
        ),
        (texts.parse_email, ["", "ops@example.com"], ["ops", "a@b@c", "a b@c", "mailto:a@b.de", "a@b\n", 3]),
        (
            texts.parse_directory,
            [
                "letsencrypt",
                "letsencrypt-staging",
                "https://ca.internal/dir",
                "http://127.0.0.1:4000/dir",
                "http://[::1]/",
            ],
            ["lets-encrypt", "", "http://ca.internal/dir", "ca.internal", "https://u:p@ca/", 3],
        ),
    ],
)
def test_values(parse: Callable[[object], object], good: list[str], bad: list[object]) -> None:
    for accepted in good:
        assert parse(accepted) == accepted
    for value in bad:
        with pytest.raises(UnacceptableError):
            parse(value)


def test_guesses() -> None:
    for parse, value, hint in (
        (texts.parse_directory, "lets-encrypt", 'did you mean "letsencrypt"?'),
        (texts.parse_email, "mailto:a@b.de", 'did you mean "a@b.de"?'),
        (texts.parse_access, "stderr", 'did you mean "/dev/stderr"?'),
        (texts.parse_access, "", 'did you mean "off"?'),
        (texts.parse_file, "~/x", '"~" is not expanded: write the whole path'),
    ):
        with pytest.raises(UnacceptableError) as caught:
            parse(value)
        assert caught.value.hint == hint


def test_a_padded_hmac_key_is_taken_without_its_padding() -> None:
    assert texts.parse_hmac_key("YWI=") == "YWI"
