"""The readable forms of what /api/v1/certificates and its diagnoses answer."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.admin.columns import columns, indented

_HEAD: Final = ("CERTIFICATE", "STATE", "UNTIL", "NEXT", "WHY", "ISSUER")
#: More certificates than this are summed up on the status page; `foregate certs list` shows all.
_MOST_SHOWN: Final = 20


def certificates_page(document: Mapping[str, Any]) -> str:
    """Write a list of certificates for a terminal."""
    lines = _lines(document["certificates"]) or ["no site has a certificate of its own"]
    return "\n".join([*lines, *_about_storage(document)])


def certificates_section(document: Mapping[str, Any]) -> list[str]:
    """Write what the status page says about certificates; nothing where there are none."""
    rows = document.get("certificates", [])
    wanted = [row for row in rows if row["removed_at"] is None]
    if len(wanted) > _MOST_SHOWN:
        states = [row["state"] for row in wanted]
        summary = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        wanted = [row for row in wanted if row["problem"] is not None][:_MOST_SHOWN]
        return [f"certificates: {summary}", *_lines(wanted), *_about_storage(document)]
    return [*_lines(wanted), *_about_storage(document)]


def diagnosis_page(document: Mapping[str, Any]) -> str:
    """Write a diagnosis for a terminal, the most telling problem first."""
    lines = [] if document["problems"] else [f"Nothing is wrong with {document['name']}."]
    for problem in document["problems"]:
        lines += [problem["what_is_wrong"], *indented([problem["what_to_do"]])]
        lines += indented([f"({problem['detail']})"]) if problem["detail"] else []
    return "\n".join([*lines, *document["notes"]])


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    head, *table = columns(_HEAD, [_cells(row) for row in rows])
    lines = [head]
    for line, row in zip(table, rows, strict=True):
        lines.append(line)
        if row["problem"] is not None:
            lines += indented([_sentences(row["problem"])])
        if not row["saved"]:
            lines += indented(["it is kept in memory alone: the storage does not take it"])
    return lines


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    others = len(row["names"]) - 1
    name = f"{row['name']} (+{others})" if others else row["name"]
    if row["removed_at"] is not None:
        return (
            name,
            "removed",
            row["not_after"],
            f"erased {row['erased_at']}",
            "no site wants it",
            row["issuer"],
        )
    attempt = "now" if row["state"] == "issuing" else row["next_attempt"] or row["renews_at"] or "-"
    return name, row["state"], row["not_after"] or "-", attempt, row["renews_because"], row["issuer"]


def _about_storage(document: Mapping[str, Any]) -> list[str]:
    return [_sentences(problem) for problem in document.get("storage_problems", [])]


def _sentences(problem: Mapping[str, Any]) -> str:
    return f"{problem['what_is_wrong']} {problem['what_to_do']}"
