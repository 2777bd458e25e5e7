"""What the status page says about upstreams."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.admin.columns import columns

_HEAD: Final = ("UPSTREAM", "ADDRESS", "STATE")
#: More than this are summed up; GET /api/v1/upstreams shows all.
_MOST_SHOWN: Final = 20
_ADDRESSES_SHOWN: Final = 3


def upstreams_section(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write names with their addresses and probed addresses with their health; nothing where there are none."""
    if len(rows) <= _MOST_SHOWN:
        return columns(_HEAD, [_cells(row) for row in rows]) if rows else []
    troubled = [row for row in rows if row.get("fault") or not row.get("healthy", True)]
    summary = f"upstreams: {len(rows)}, {len(troubled)} with a fault"
    return [summary, *upstreams_section(troubled[:_MOST_SHOWN])]


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    if "healthy" in row:
        state = "healthy" if row["healthy"] else f"unhealthy: {row['reason']}"
        return row["name"], row["address"], state
    addresses = row["addresses"]
    shown = ", ".join(addresses[:_ADDRESSES_SHOWN]) + (", ..." if len(addresses) > _ADDRESSES_SHOWN else "")
    return row["name"], shown or "-", row["fault"] or "resolved"
