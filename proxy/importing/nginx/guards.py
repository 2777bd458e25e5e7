"""Who may pass: nginx's address rules, and the checks that Foregate has no means for."""

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from proxy.importing.draft import Notes, Table
from proxy.importing.nginx.access import firewall
from proxy.importing.nginx.known import GUARDS
from proxy.importing.nginx.tree import Directive
from proxy.importing.repair import CLOSED

Levels: TypeAlias = Sequence[Sequence[Directive]]

_ASKING: Final = re.compile(r"\( ?\$\{?(\w+)\}? (!=|!~\*?|=) ?(.*?) ?\)")
_NO_SUCH_CHECK: Final = (
    "Foregate has no such check, so where a route can name the path everybody is refused (403) until the app "
    "does it and `firewall` is taken out"
)
_INTERNAL: Final = "clients could not ask for it, and are refused now (403)"
_NOT_ASKING: Final = ("off", "optional", "optional_no_ca")
_REFUSALS: Final = ("401", "403", "404", "444")
_NOTHING: Final = ("", "0", "no", "off", "false")
# What these say does not tell who somebody is.
_ABOUT_NOBODY: Final = frozenset(
    (
        *(
            "request_method",
            "host",
            "http_host",
            "server_name",
            "scheme",
            "https",
            "server_port",
            "ssl_protocol",
        ),
        *(
            "http_user_agent",
            "http_referer",
            "request_uri",
            "uri",
            "args",
            "http_x_forwarded_proto",
            "content_type",
        ),
    )
)


def rules(levels: Levels) -> list[Directive]:
    """Return the access rules that count in the innermost block."""
    for level in reversed(levels):
        if found := [directive for directive in level if directive.name in ("allow", "deny")]:
            return found
    return []


def _admits_only_some(condition: Directive) -> bool:
    """Tell whether an if-block turns away all who lack something, such as a secret field or a certificate."""
    match = _ASKING.fullmatch(" ".join(condition.arguments))
    if match is None or match[1] in _ABOUT_NOBODY:
        return False
    is_asking = match[2].startswith("!") or match[3] in _NOTHING
    return is_asking and any(i.name == "return" and i.first in _REFUSALS for i in condition.block)


def is_guarded(block: Sequence[Directive]) -> bool:
    """Tell whether a block of its own turns somebody away."""
    return any(
        (one.name in GUARDS and one.first not in _NOT_ASKING)
        or one.name == "deny"
        or (one.name == "if" and _admits_only_some(one))
        or (one.name == "return" and one.first in _REFUSALS)
        for one in block
    )


def guard(levels: Levels, result: Table, notes: Notes) -> None:
    """Put access rules in force, and close what nginx guarded by means that Foregate lacks."""
    access = rules(levels)
    if access:
        result["firewall"] = firewall(access, notes)
    guards = {
        directive.name: directive for level in levels for directive in level if directive.name in GUARDS
    }
    asking = [one for one in guards.values() if one.first not in _NOT_ASKING]
    asking += [one for level in levels for one in level if one.name == "if" and _admits_only_some(one)]
    suffices = any(directive.text == "satisfy any" for level in levels for directive in level)
    for asked in asking:
        reason = _INTERNAL if asked.name == "internal" else _NO_SUCH_CHECK
        if suffices and result.get("firewall", {}).get("allow"):
            reason = "Foregate cannot ask for it; those whom the address rules admit get in, nobody else"
        else:
            result["firewall"] = dict(CLOSED)
        notes.left_out(asked.place, asked.text, reason)
