"""How a report is written and read: JSON of fixed shape and bounded size, since its sender may be taken over."""

import json
from dataclasses import asdict
from dataclasses import fields as fields_of
from typing import Final

from proxy.control.messages import (
    CLIENTS_IN_REPORT,
    Applied,
    CertificateUnusable,
    CertificateWanted,
    ControlError,
    Leaving,
    MostLimited,
    Pong,
    Ready,
    Refused,
    Report,
    Synced,
)
from proxy.traffic.top_clients import LimitedClient

LARGEST_REPORT: Final = 4096
_LONGEST_CLIENT: Final = 50
_LONGEST_TEXT: Final = 300  # JSON may take 12 octets for a character
_LARGEST_NUMBER: Final = 2**53  # what a JSON reader and a metric take without a loss

_REPORTS: Final[dict[str, type[Report]]] = {
    "ready": Ready,
    "applied": Applied,
    "refused": Refused,
    "pong": Pong,
    "leaving": Leaving,
    "synced": Synced,
    "certificate-wanted": CertificateWanted,
    "certificate-unusable": CertificateUnusable,
    "most-limited": MostLimited,
}
_CLIENT_FIELDS: Final = {field.name: field.type for field in fields_of(LimitedClient)}
_REPORT_NAMES: Final = {kind: name for name, kind in _REPORTS.items()}


def encode_report(report: Report) -> bytes:
    """Write a report as one JSON object, its texts shortened until it fits."""
    body = asdict(report)
    texts = {name: value[:_LONGEST_TEXT] for name, value in body.items() if isinstance(value, str)}
    return json.dumps({"report": _REPORT_NAMES[type(report)], **body, **texts}).encode()


def decode_report(packet: bytes) -> Report:
    """Read a report that nobody vouches for. Raises ControlError for anything but the exact shape."""
    if len(packet) > LARGEST_REPORT:
        raise ControlError(f"a report of more than {LARGEST_REPORT} octets")
    try:
        body = json.loads(packet)
    except (ValueError, RecursionError) as exc:
        raise ControlError("a report that is not JSON") from exc
    kind = _REPORTS.get(str(body.pop("report", ""))) if isinstance(body, dict) else None
    if kind is None:
        raise ControlError("a report of an unknown kind")
    wanted = {field.name: field.type for field in fields_of(kind)}
    if body.keys() != wanted.keys() or not all(_fits(body[name], wanted[name]) for name in wanted):
        raise ControlError(f"a report {_REPORT_NAMES[kind]!r} of the wrong shape")
    if kind is MostLimited:
        return MostLimited(body["continues"], tuple(LimitedClient(**client) for client in body["clients"]))
    return kind(**body)


def _fits(value: object, wanted: object) -> bool:
    if wanted == tuple[LimitedClient, ...]:
        return (
            isinstance(value, list)
            and len(value) <= CLIENTS_IN_REPORT
            and all(_is_client(client) for client in value)
        )
    return type(value) is wanted and not (isinstance(value, int) and not 0 <= value < _LARGEST_NUMBER)


def _is_client(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != _CLIENT_FIELDS.keys():
        return False
    return all(_fits(value[name], wanted) for name, wanted in _CLIENT_FIELDS.items()) and (
        len(value["client"]) <= _LONGEST_CLIENT and value["client"].isprintable()
    )
