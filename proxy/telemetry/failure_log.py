"""Say in the proxy's own log what goes wrong with apps: every kind of failure of every route, but not every time.

A failing app under load fails thousands of times a second; one line a second for each kind tells as much.
"""

import logging
from typing import Final

from proxy.telemetry import process_log

#: Seconds between two lines about the same kind of failure of the same route.
EVERY: Final = 1.0
#: Kinds that are remembered; more than any configuration has in a second.
_REMEMBERED: Final = 1024


class FailureLog:
    """Writes failures of apps to the proxy's own log, thinned out."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._quiet: dict[tuple[str, str, str], tuple[float, int]] = {}

    def failed(self, site: str, route: str, kind: str, detail: str, now: float) -> None:
        """Take note of a failure; ``detail`` may name internal addresses, ``now`` is in seconds of any clock."""
        key = (site, route, kind)
        until, skipped = self._quiet.get(key, (0.0, 0))
        if now < until:
            self._quiet[key] = (until, skipped + 1)
            return
        if len(self._quiet) >= _REMEMBERED:
            self._quiet.clear()
        self._quiet[key] = (now + EVERY, 0)
        more = {"not_logged": skipped} if skipped else {}
        extra = process_log.fields(site=site, route=route or "/", kind=kind, detail=detail, **more)
        self._logger.warning("an app failed", extra=extra)
