"""Plain values: switches, numbers, words, secrets, files, people and directories."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from proxy.config.errors import UnacceptableError
from proxy.config.http_values import url_scheme_and_host

_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?|[0-9]{1,9}")
_EMAIL: Final = re.compile(r"[^\s@,;:<>\"]+@[^\s@,;:<>\"]+")
_LOOPBACK: Final = re.compile(r"localhost|127\.[0-9.]+|::1")


def parse_bool(value: object) -> bool:
    """Return a TOML boolean."""
    if isinstance(value, bool):
        return value
    meant = {"yes": "true", "on": "true", "true": "true", "1": "true"} | dict.fromkeys(
        ("no", "off", "false", "0"), "false"
    )
    guess = meant.get(str(value).lower()) if isinstance(value, str) or value in (0, 1) else None
    raise UnacceptableError("true or false", f"did you mean {guess}, without quotes?" if guess else "")


def parse_whole(value: object, *, least: int, most: int) -> int:
    """Return a TOML integer between two bounds."""
    expected = f"a whole number between {least} and {most}"
    if isinstance(value, bool) or not isinstance(value, int):
        quoted = isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value)
        raise UnacceptableError(expected, f"did you mean {value}, without quotes?" if quoted else "")
    if not least <= value <= most:
        raise UnacceptableError(expected)
    return value


def parse_workers(value: object) -> int | str:
    """Return a number of workers, or "auto"."""
    if value == "auto":
        return "auto"
    try:
        return parse_whole(value, least=1, most=1024)
    except UnacceptableError as error:
        raise UnacceptableError('"auto" or a number between 1 and 1024', error.hint) from error


def parse_choice(value: object, choices: Sequence[str], *, ignore_case: bool = False) -> str:
    """Return one of a few words."""
    if isinstance(value, str):
        word = value.lower() if ignore_case else value
        if word in choices:
            return word
    quoted = [f'"{choice}"' for choice in choices]
    expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    text = str(value) if isinstance(value, str | float) else ""
    close = get_close_matches(text.lower().strip()[:64], choices, n=1)
    raise UnacceptableError(expected, f'did you mean "{close[0]}"?' if close else "")


def parse_text(value: object) -> str:
    """Return a string without control characters."""
    if not isinstance(value, str):
        raise UnacceptableError("a string")
    if not value.isprintable():
        raise UnacceptableError("a string without control characters")
    return value


def parse_secret(value: object) -> str:
    """Return a secret that travels in a header field."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]*", value):
        raise UnacceptableError("a string of printable ASCII characters without spaces")
    return value


def parse_hmac_key(value: object) -> str:
    """Return an external account key in base64url, as CAs hand it out (RFC 8555 section 7.3.4)."""
    expected = "the key in base64url, as the CA gave it"
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", value):
        raise UnacceptableError(expected)
    bare = value.rstrip("=")
    try:
        urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except ValueError as error:
        raise UnacceptableError(expected) from error
    return bare


def parse_file(value: object) -> str:
    """Return the path of a file."""
    if not isinstance(value, str) or "\0" in value:
        raise UnacceptableError("a path")
    if value.startswith("~"):
        raise UnacceptableError("a path", '"~" is not expanded: write the whole path')
    return value


def parse_folder(value: object) -> str:
    """Return the path of a folder, which cannot be empty."""
    path = parse_file(value)
    if not path:
        raise UnacceptableError("the path of a folder")
    return path


def parse_access(value: object) -> str:
    """Return where the access log goes."""
    if value in ("", "stderr"):
        hint = 'did you mean "off"?' if value == "" else 'did you mean "/dev/stderr"?'
        raise UnacceptableError('"stdout", "off" or a path', hint)
    return parse_file(value)


def parse_user(value: object) -> str:
    """Return a user by name or number, or ""."""
    if not isinstance(value, str) or (value and not _USER.fullmatch(value)):
        raise UnacceptableError('a user such as "foregate" or "1000"', "name the user alone, without a group")
    return value


def parse_email(value: object) -> str:
    """Return an e-mail address, or ""."""
    if isinstance(value, str) and (not value or (value.isprintable() and _EMAIL.fullmatch(value))):
        return value
    meant = value.removeprefix("mailto:") if isinstance(value, str) and value.startswith("mailto:") else ""
    raise UnacceptableError("an e-mail address", f'did you mean "{meant}"?' if meant else "")


def parse_directory(value: object) -> str:
    """Return an ACME directory: one of two short names, or a URL (plain http on the loopback only)."""
    names = ("letsencrypt", "letsencrypt-staging")
    url = url_scheme_and_host(value)
    if isinstance(value, str) and (value in names or url):
        if url and url[0] != "https" and not _LOOPBACK.fullmatch(url[1]):
            raise UnacceptableError("a directory that is asked over https (RFC 8555 section 6.1)")
        return value
    close = get_close_matches(value[:64].lower(), names, n=1) if isinstance(value, str) else []
    hint = f'did you mean "{close[0]}"?' if close else ""
    raise UnacceptableError('"letsencrypt", "letsencrypt-staging" or an https URL', hint)
