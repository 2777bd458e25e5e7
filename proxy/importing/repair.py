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
_MOST_ROUNDS: Final = 10_000

_Path = tuple[str | int, ...]


def make_valid(draft: Draft) -> Loaded:
    """Take out of the document what cannot stand in it, with notes; raises ImportRefusedError if no site is left."""
    for _ in range(_MOST_ROUNDS):
        if not draft.sites:
            raise ImportRefusedError("\n".join(("there is nothing to make a site of", *summary(draft.notes))))
        try:
            loaded = _loaded(draft.document)
        except ConfigError as exc:
            _take_out(draft, exc.faults[0])
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


def _take_out(draft: Draft, fault: Fault) -> None:
    path = _existing(draft.document, _path(fault.key))
    found = f"found {fault.found}, expected {fault.expected}" if fault.found else f"expected {fault.expected}"
    reason = f"{found}; {fault.hint}" if fault.hint else found
    draft.notes.left_out("", f"{fault.key} ({fault.site})" if fault.site else fault.key, reason)
    if "firewall" in path:
        path = path[: path.index("firewall") + 1]
        _at(draft.document, path[:-1])["firewall"] = dict(CLOSED)
        return
    if "tls" in path and path[0] == "site" and draft.sites[int(path[1])]["tls"].get("mode") == "files":
        _order_instead(draft.sites[int(path[1])])
        return
    holder = _at(draft.document, path[:-1])
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
