"""`foregate import`: from the files of another proxy to a proxy.toml."""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.config.errors import UnacceptableError
from proxy.errors import ForegateError

if TYPE_CHECKING:
    from proxy.config.loader import Loaded
    from proxy.importing.draft import Draft

_ANY_APP: Final = "http://app:3000"
_SOURCES: Final = ("nginx", "nginx-auto-ssl", "certbot")
_NOTHING_TAKEN: Final = "none: each is for other names, has ended, or is there already"
_LARGEST_INPUT: Final = 1 << 20


class ImportAbortedError(ForegateError):
    """Say why nothing was imported."""


@click.command("import")
@click.argument("source", metavar="FROM", type=click.Choice(_SOURCES))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Write the configuration there; else to standard output.",
)
@click.option(
    "--storage",
    metavar="FOLDER",
    type=click.Path(),
    help="Put certificates and accounts there; with -o it is ssl_data beside FILE unless told otherwise.",
)
@click.option(
    "--upstream",
    metavar="URL",
    default=_ANY_APP,
    show_default=True,
    help="For names whose app nothing tells of.",
)
@click.option("-y", "--yes", is_flag=True, help="Overwrite FILE without asking.")
def import_(
    source: str, paths: tuple[str, ...], output: str | None, storage: str | None, upstream: str, yes: bool
) -> None:
    """Make a proxy.toml of the files of another proxy.

    FROM is nginx (nginx.conf, or files with server blocks), nginx-auto-ssl (a file with its environment, - for
    standard input, its storage folder, its conf.d), or certbot (/etc/letsencrypt). What cannot be carried over is
    listed, on the terminal and in the file.
    """
    file = Path(output).absolute() if output else None
    if file is not None:
        _may_write(file, yes)
    _require_upstream(upstream)
    # Imported here: the other commands need none of it.
    from proxy.importing.repair import make_valid
    from proxy.importing.sources import AUTO_SSL, STANDARD_INPUT, read_source
    from proxy.importing.toml_text import proxy_toml, summary

    is_piped = source == AUTO_SSL and STANDARD_INPUT in paths
    standard_input = sys.stdin.buffer.read(_LARGEST_INPUT) if is_piped else b""
    draft = read_source(source, paths, upstream=upstream, environ=os.environ, standard_input=standard_input)
    folder = _storage(storage, file)
    if storage and folder is not None:
        draft.table("tls")["storage"] = os.path.relpath(folder, file.parent) if file else str(folder)
    loaded = make_valid(draft)
    stored = _stored(draft, folder, loaded)
    text = proxy_toml(draft.document, draft.notes, " ".join((source, *paths)))
    for line in (*summary(draft.notes), *stored):
        click.echo(line, err=True)
    if file is None:
        click.echo(text, nl=False)
    else:
        _write(file, text)
        click.echo(f"{file} is written; `foregate check -c {file}` finds it valid", err=True)
    if _holds_values(draft) and (file is None or file.stat().st_mode & 0o004):
        click.echo(
            f"{file or 'the output'} holds values of set_request_headers and everybody may read it: "
            "chown it to Foregate's user and chmod 600, or use ${NAME}",
            err=True,
        )


def _require_upstream(url: str) -> None:
    from proxy.config.addresses import parse_upstream

    try:
        parse_upstream(url)
    except UnacceptableError as exc:
        raise click.UsageError(f'--upstream is "{url}", {exc.advice}') from exc


def _holds_values(draft: "Draft") -> bool:
    """Tell whether there are values, keys to apps perhaps, for fields in requests."""
    tables = (table for site in draft.sites for table in (site, *site.get("route", ())))
    return any(any(table.get("set_request_headers", {}).values()) for table in tables)


def _storage(named: str | None, file: Path | None) -> Path | None:
    """Return where certificates go: as said, else where the new file has its storage."""
    if named:
        return Path(named).absolute()
    if file is None:
        return None
    return file.parent / (os.environ.get("FOREGATE_STORAGE") or "ssl_data")


def _may_write(file: Path, yes: bool) -> None:
    """Raise unless the file can be written, and the user wants it if there is one already."""
    try:
        if not file.parent.is_dir():
            raise ImportAbortedError(f"cannot write {file}: there is no folder {file.parent}")
        if yes or not file.exists():
            return
    except OSError as exc:
        raise _cannot_write(file, exc) from exc
    if not sys.stdin.isatty():
        raise ImportAbortedError(f"{file} exists; say --yes to overwrite it, or name another file")
    click.confirm(f"{file} exists; overwrite it?", abort=True)


def _stored(draft: "Draft", folder: Path | None, loaded: "Loaded") -> list[str]:
    """Take certificates and accounts over, if it is said where; return what to tell of it."""
    from proxy.importing.takeover import take_over

    if not draft.certificates and not draft.accounts:
        return []
    if folder is None:
        found = f"{len(draft.certificates)} certificates, {len(draft.accounts)} accounts"
        return [f"Found {found}: they are taken over with -o FILE or --storage FOLDER"]
    names = [name.strip("[]") for site in loaded.config.sites for name in site.domains]
    done = take_over(draft, folder, names, time.time())
    return [
        f"Taken over into {folder}:",
        *(f"  {line}" for line in done or [_NOTHING_TAKEN]),
    ]


def _write(file: Path, text: str) -> None:
    """Put the text into the file, whole or not at all; a file that is there keeps its mode."""
    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
        descriptor, temporary = tempfile.mkstemp(prefix=".foregate-", dir=file.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as opened:
                opened.write(text)
                os.fchmod(descriptor, mode)
            os.replace(temporary, file)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as exc:
        raise _cannot_write(file, exc) from exc


def _cannot_write(file: Path, exc: OSError) -> ImportAbortedError:
    return ImportAbortedError(f"cannot write {file}: {(exc.strerror or str(exc)).lower()}")
