"""The memory that all workers share, made once and kept for the supervisor's lifetime."""

import secrets
from collections.abc import Mapping

from proxy.control.messages import LIMITER_LOCKS, LIMITER_TABLE
from proxy.traffic.limiter_table import KEY_SIZE, LimiterTable

_SECRET_SIZE = 32


class SharedRegions:
    """Own the regions and the secret from which the workers derive their common keys."""

    def __init__(self) -> None:
        """Make everything, empty."""
        self.secret = secrets.token_bytes(_SECRET_SIZE)
        self._limiter = LimiterTable.create(secrets.token_bytes(KEY_SIZE))

    @property
    def descriptors(self) -> Mapping[str, int]:
        """Name each region's descriptor as the control channel does."""
        table, locks = self._limiter.descriptors
        return {LIMITER_TABLE: table, LIMITER_LOCKS: locks}

    def close(self) -> None:
        """Give the memory back."""
        self._limiter.close()
