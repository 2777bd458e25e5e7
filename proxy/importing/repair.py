"""Make sure that what an import writes passes `foregate check`.

Readers put in only what they believe to be valid; whatever is refused all the same is taken out here, with the
check's own words as the reason.  A faulty firewall is closed, never opened.
"""

import re
import tempfile
from pathlib import Path
from typing import Any, Final

from proxy.config.errors import ConfigError, Fault
from proxy.config.loader import Loaded, load
from proxy.importing.draft import Draft, Table
from proxy.importing.errors import ImportRefusedError
from proxy.importing.toml_text import proxy_toml, summary
from proxy.supervisor.certificate_files import UnusablePairError, load_pair
from proxy.supervisor.certificate_wishes import FilePair

CLOSED: Final[Table] = {"allow": [], "deny": ["0.0.0.0/0", "::/0"]}
_PART: Final = re.compile(r'\[(\d+)\]|"((?:[^"\\]|\\.)*)"|([^.\["]+)')
# Every round takes something out; this many are never needed and keep a mistake from running for ever.
_MOST_ROUNDS: Final = 1000

_Path = tuple[str | int, ...]


def make_valid(draft: Draft) -> Loaded:
    """Take out of the document what cannot stand in it, with notes; raises ImportRefusedError if no site is left."""
    for _ in range(_MOST_ROUNDS):
        if not draft.sites:
            raise ImportRefusedError("\n".join(("there is nothing to make a site of", *summary(draft.notes))))
        try:
            loaded = _loaded(draft.document)
        except ConfigError as exc:
            _take_out(draft, exc.faults)
            continue
        if not _replaced_pair(draft):
            return loaded
    raise ImportRefusedError("the configuration could not be made valid")


def _loaded(document: Table) -> Loaded:
    """Check a document as `foregate check` does, files included."""
    with tempfile.TemporaryDirectory(prefix="foregate-import-") as folder:
        file = Path(folder, "proxy.toml")
        file.write_text(proxy_toml(document, Draft().notes, ""), encoding="utf-8")
        return load(file, {})


def _take_out(draft: Draft, faults: tuple[Fault, ...]) -> None:
    """Take out what the faults are about, the last in a list first, so that the places of the others stay right."""
    paths: set[_Path] = set()
    for fault in faults:
        found = f"found {fault.found}, " if fault.found else ""
        reason = f"{found}expected {fault.expected}; {fault.hint}".rstrip("; ")
        draft.notes.left_out("", f"{fault.key} ({fault.site})" if fault.site else fault.key, reason)
        path = _existing(draft.document, _path(fault.key))
        # A firewall goes as a whole, and so does a pair of files.
        whole = next((part for part in ("firewall", "tls") if part in path[2:]), None)
        paths.add(path if whole is None else path[: path.index(whole) + 1])
    for path in sorted(paths, key=_position, reverse=True):
        if not any(path[:depth] in paths for depth in range(1, len(path))):
            _take_one_out(draft, path)


def _position(path: _Path) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def _take_one_out(draft: Draft, path: _Path) -> None:
    holder = _at(draft.document, path[:-1])
    if path[-1] == "firewall":
        holder["firewall"] = dict(CLOSED)
    elif path[-1] == "tls" and holder["tls"].get("mode") == "files":
        _order_instead(holder)
    else:
        del holder[path[-1]]


def _path(key: str) -> _Path:
    parts = (match.groups() for match in _PART.finditer(key))
    return tuple(int(number) if number else quoted or bare or "" for number, quoted, bare in parts)


def _existing(document: Table, path: _Path) -> _Path:
    """Return the part of a path that leads to something; a missing key stands for the table that lacks it."""
    place: Any = document
    for depth, part in enumerate(path):
        try:
            place = place[part]
        except (KeyError, IndexError, TypeError):
            return path[:depth] or ("site",)
    return path or ("site",)


def _at(document: Table, path: _Path) -> Any:
    place: Any = document
    for part in path:
        place = place[part]
    return place


def _replaced_pair(draft: Draft) -> bool:
    """Have a certificate ordered where files cannot be served; tell whether there was such a case."""
    for site in draft.sites:
        tls = site.get("tls", {})
        if tls.get("mode") == "files":
            try:
                load_pair(FilePair(tls["certificate"], tls["private_key"]))
            except UnusablePairError as exc:
                draft.notes.left_out("", f"certificate of {site['domains'][0]}", str(exc))
                _order_instead(site)
                return True
    return False


def _order_instead(site: Table) -> None:
    site["tls"] = {"mode": "self-signed" if site.get("domains") == ["*"] else "acme"}
