"""How moments are written for people and for programs."""

import time
from typing import overload


@overload
def moment(seconds: float) -> str: ...
@overload
def moment(seconds: float | None) -> str | None: ...


def moment(seconds: float | None) -> str | None:
    """Write Unix time in UTC (RFC 3339), to the second; None stays None."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
