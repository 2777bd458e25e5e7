"""The memory that all workers share, made once and kept for the supervisor's lifetime."""

import os
import secrets
from collections.abc import Callable, Mapping

from proxy.caching.store import CacheDescriptors, Store, create_cache
from proxy.config.schema import Config
from proxy.control.keys import derived_key
from proxy.control.messages import (
    CACHE_LIFE,
    CACHE_LOCKS,
    CACHE_MEMORY,
    CONNECTION_ROWS,
    LIMITER_LOCKS,
    LIMITER_TABLE,
)
from proxy.shared_memory import SharedMemory, SharedMemoryError
from proxy.supervisor.errors import StartError
from proxy.supervisor.handover import Handover
from proxy.traffic import connection_limits
from proxy.traffic.connection_limits import ConnectionRows
from proxy.traffic.limiter_table import LimiterTable

_SECRET_SIZE = 32


class SharedRegions:
    """Own the regions and the secret from which the workers derive their common keys.

    Also the register of who uses them: a worker has to `enter` before it starts and may only `leave` when it
    has been reaped, or two that decide without locks could meet.
    """

    def __init__(
        self, config: Config, limiter: Callable[[], LimiterTable], held: Handover | None = None
    ) -> None:
        """Make everything, empty, with the table that `limiter` makes; or go on with what a program has held.

        Memory with another layout, or a cache of another size, is made anew. Raises ValueError for a cache that
        is too small for its largest object.
        """
        self.secret = bytes.fromhex(held.secret) if held else secrets.token_bytes(_SECRET_SIZE)
        largest = max(route.cache.object_size for site in config.sites for route in site.routes)
        self.cache_size = config.cache.size
        memory = held.memory if held else {}
        same_size = held is not None and held.cache_size == self.cache_size
        self._cache, self.cache = self._opened_cache(memory if same_size else {}, largest)
        try:
            self.limiter = LimiterTable.attach(memory[LIMITER_TABLE], memory[LIMITER_LOCKS])
        except (SharedMemoryError, KeyError):
            self.limiter = limiter()
        self.connections, self.keeps_rows = _opened_rows(memory)
        for unused in set(memory.values()) - set(self.descriptors.values()):
            os.close(unused)

    def _opened_cache(self, memory: Mapping[str, int], largest: int) -> tuple[CacheDescriptors, Store]:
        key = derived_key(self.secret, b"cache")
        try:
            held = CacheDescriptors(*(memory[name] for name in (CACHE_MEMORY, CACHE_LOCKS, CACHE_LIFE)))
            return held, Store(held, key)
        except (SharedMemoryError, KeyError):
            made = create_cache(self.cache_size, largest)
            return made, Store(made, key)

    @property
    def descriptors(self) -> Mapping[str, int]:
        """Name each region's descriptor as the control channel does."""
        table, locks = self.limiter.descriptors
        return {
            LIMITER_TABLE: table,
            LIMITER_LOCKS: locks,
            CACHE_MEMORY: self._cache.memory,
            CACHE_LOCKS: self._cache.locks,
            CACHE_LIFE: self._cache.life,
            CONNECTION_ROWS: self.connections.memory.descriptor,
        }

    def enter(self) -> int:
        """Expect a worker; returns its row in the count of connections. Raises StartError when there is none."""
        try:
            row = self.connections.claim()
        except RuntimeError as exc:
            raise StartError(f"{exc}; set [server] workers, or a shorter linger") from exc
        self._count_users()
        return row

    def leave(self, row: int) -> None:
        """Forget a worker that has ended, with its connections."""
        self.connections.release(row)
        self._count_users()

    def _count_users(self) -> None:
        self.limiter.users = len(self.connections.in_use())

    def close(self) -> None:
        """Give the memory back."""
        self.limiter.close()
        self.connections.memory.close()
        self.cache.close()  # and its memory
        os.close(self._cache.locks)
        os.close(self._cache.life)


def _opened_rows(memory: Mapping[str, int]) -> tuple[ConnectionRows, bool]:
    """Count connections on, where that is possible; tell whether rows that were given are still theirs."""
    try:
        kind, layout = connection_limits.KIND, connection_limits.LAYOUT
        return ConnectionRows(SharedMemory.attach(memory[CONNECTION_ROWS], kind, layout=layout)), True
    except (SharedMemoryError, KeyError):
        return ConnectionRows.create(), False
