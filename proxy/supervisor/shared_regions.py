"""The memory that all workers share, made once and kept for the supervisor's lifetime."""

import os
import secrets
from collections.abc import Mapping

from proxy.caching.store import Store, create_cache
from proxy.config.schema import Config
from proxy.control.keys import derived_key
from proxy.control.messages import CACHE_LIFE, CACHE_LOCKS, CACHE_MEMORY, LIMITER_LOCKS, LIMITER_TABLE
from proxy.traffic.limiter_table import KEY_SIZE, LimiterTable

_SECRET_SIZE = 32


class SharedRegions:
    """Own the regions and the secret from which the workers derive their common keys."""

    def __init__(self, config: Config) -> None:
        """Make everything, empty; raises ValueError for a cache that is too small for its largest object."""
        self.secret = secrets.token_bytes(_SECRET_SIZE)
        largest = max(route.cache.object_size for site in config.sites for route in site.routes)
        self._cache = create_cache(config.cache.size, largest)
        self.cache_size = config.cache.size
        self.cache = Store(self._cache, derived_key(self.secret, b"cache"))
        self._limiter = LimiterTable.create(secrets.token_bytes(KEY_SIZE))

    @property
    def descriptors(self) -> Mapping[str, int]:
        """Name each region's descriptor as the control channel does."""
        table, locks = self._limiter.descriptors
        return {
            LIMITER_TABLE: table,
            LIMITER_LOCKS: locks,
            CACHE_MEMORY: self._cache.memory,
            CACHE_LOCKS: self._cache.locks,
            CACHE_LIFE: self._cache.life,
        }

    def close(self) -> None:
        """Give the memory back."""
        self._limiter.close()
        self.cache.close()
        for descriptor in self._cache:
            os.close(descriptor)
