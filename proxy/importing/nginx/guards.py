"""Who may pass: nginx's address rules, and the checks that Foregate has no means for."""

from collections.abc import Sequence
from typing import TypeAlias

from proxy.importing.draft import Notes, Table
from proxy.importing.nginx.access import firewall
from proxy.importing.nginx.known import GUARDS
from proxy.importing.nginx.tree import Directive
from proxy.importing.repair import CLOSED

Levels: TypeAlias = Sequence[Sequence[Directive]]


def rules(levels: Levels) -> list[Directive]:
    """Return the access rules that count in the innermost block."""
    for level in reversed(levels):
        if found := [directive for directive in level if directive.name in ("allow", "deny")]:
            return found
    return []


def guard(levels: Levels, result: Table, notes: Notes) -> None:
    """Put access rules in force, and close what nginx guarded by means that Foregate lacks."""
    access = rules(levels)
    if access:
        result["firewall"] = firewall(access, notes)
    guards = {
        directive.name: directive for level in levels for directive in level if directive.name in GUARDS
    }
    asking = [one for one in guards.values() if one.first not in ("off", "optional", "optional_no_ca")]
    suffices = any(directive.text == "satisfy any" for level in levels for directive in level)
    for asked in asking:
        if suffices and result.get("firewall", {}).get("allow"):
            reason = "Foregate cannot ask for it; those whom the address rules admit get in, nobody else"
        else:
            result["firewall"] = dict(CLOSED)
            reason = (
                "Foregate has no such check, so everybody is refused there (403) until the app does it and "
                "`firewall` is taken out"
            )
        notes.left_out(asked.place, asked.text, reason)
