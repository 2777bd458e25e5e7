"""Tell what the paths of `foregate import` are, and have them read."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from proxy.importing.auto_ssl import KNOWN, note_others, read_auto_ssl
from proxy.importing.certbot import read_certbot
from proxy.importing.draft import Draft
from proxy.importing.errors import ImportRefusedError
from proxy.importing.nginx.reader import read_nginx
from proxy.importing.small_files import read_small

STANDARD_INPUT: Final = "-"
AUTO_SSL: Final = "nginx-auto-ssl"
# KEY=VALUE, as in `env` and in env files; with a dash or a colon, as in compose files.
_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_IN_COMPOSE: Final = re.compile(rf"-?\s*[\"']?({'|'.join(KNOWN)})[\"']?\s*[:=]\s*(.*)")


def read_source(
    source: str,
    paths: Sequence[str],
    *,
    upstream: str,
    environ: Mapping[str, str],
    standard_input: bytes = b"",
) -> Draft:
    """Return what was found at some paths; raises ImportRefusedError.

    `standard_input` is what the path - stands for; `environ` counts for nginx-auto-ssl where no path gives one.
    """
    draft = Draft()
    files = [Path(path) for path in paths if path != STANDARD_INPUT]
    for file in files:
        _require(file)
    if STANDARD_INPUT in paths and source != AUTO_SSL:
        raise ImportRefusedError(f"{STANDARD_INPUT}: standard input is for the environment of {AUTO_SSL}")
    match source:
        case "nginx":
            read_nginx(files, draft)
        case "certbot":
            read_certbot(files, draft, upstream)
        case _:
            texts = [standard_input] if STANDARD_INPUT in paths else []
            _read_auto_ssl(files, texts, draft, upstream, environ)
    return draft


def _require(file: Path) -> None:
    try:
        file.stat()
    except FileNotFoundError as exc:
        raise ImportRefusedError(f"{file}: there is nothing of this name") from exc
    except OSError as exc:
        raise ImportRefusedError(f"{file}: {(exc.strerror or str(exc)).lower()}") from exc


def _read_auto_ssl(
    files: Sequence[Path], texts: list[bytes], draft: Draft, upstream: str, environ: Mapping[str, str]
) -> None:
    folders = [file for file in files if (file / "storage").is_dir() or (file / "letsencrypt").is_dir()]
    configs = [file for file in files if file not in folders and (file.is_dir() or file.suffix == ".conf")]
    for file in files:
        if file not in folders and file not in configs:
            texts.append(_content(file))
    found: dict[str, str] = {}
    for text in texts:
        found |= environment(text)
    if not texts:
        found = {name: environ[name] for name in KNOWN if name in environ}
    note_others(found, draft)
    read_auto_ssl(found, folders, configs, draft, upstream)


def _content(file: Path) -> bytes:
    try:
        return read_small(file)
    except (OSError, ValueError) as exc:
        raise ImportRefusedError(f"{file}: {exc}") from exc


def environment(content: bytes) -> dict[str, str]:
    """Return the variables in an env file, a compose file, or what `env` or `docker inspect` print."""
    text = content.decode("utf-8", "replace")
    if text.lstrip().startswith(("[", "{")):
        text = "\n".join(_inspected(text))
    found: dict[str, str] = {}
    for line in (line.strip() for line in text.splitlines()):
        match = _ASSIGNMENT.fullmatch(line) or _IN_COMPOSE.fullmatch(line)
        if match is not None:
            found[match[1]] = _unquoted(match[2].strip())
    return found


def _inspected(text: str) -> list[str]:
    try:
        document: Any = json.loads(text)
        document = document[0] if isinstance(document, list) else document
        return [str(line) for line in document["Config"]["Env"]]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as exc:
        raise ImportRefusedError("this JSON is not what `docker inspect CONTAINER` prints") from exc


def _unquoted(text: str) -> str:
    text = text.removesuffix("'").removesuffix('"') if text.count("'") % 2 or text.count('"') % 2 else text
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
