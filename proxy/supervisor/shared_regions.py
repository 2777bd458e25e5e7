"""The memory that all workers share, made once and kept for the supervisor's lifetime."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.caching.layout import stripes_for
from proxy.caching.store import CacheDescriptors, Store, create_cache
from proxy.config.quantities import format_size
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


@dataclass(frozen=True, slots=True)
class CacheRegion:
    """The cache's memory, made with `size` octets, and this process's way into it."""

    descriptors: CacheDescriptors
    store: Store
    size: int

    @property
    def named(self) -> Mapping[str, int]:
        """Name each descriptor as the control channel does."""
        given = self.descriptors
        return {CACHE_MEMORY: given.memory, CACHE_LOCKS: given.locks, CACHE_LIFE: given.life}

    def close(self) -> None:
        """Give the memory back."""
        self.store.leave()


class SharedRegions:
    """Own the regions and the secret from which the workers derive their common keys.

    Also the register of who uses them: a worker has to `enter` before it starts and may only `leave` when it
    has been reaped, or two that decide without locks could meet.
    """

    def __init__(
        self, config: Config, limiter: Callable[[], LimiterTable], held: Handover | None = None
    ) -> None:
        """Make everything, empty, with the table that `limiter` makes; or go on with what a program has held.

        Memory with another layout is made anew. Raises StartError for a cache for which there is no memory.
        """
        self.secret = bytes.fromhex(held.secret) if held else secrets.token_bytes(_SECRET_SIZE)
        memory = held.memory if held else {}
        self.cache = self._held_cache(held, config) if held else self.make_cache(config)
        #: The memory that the workers go to or come from, while the cache moves.
        self.cache_beside: CacheRegion | None = None
        try:
            self.limiter = LimiterTable.attach(memory[LIMITER_TABLE], memory[LIMITER_LOCKS])
        except (SharedMemoryError, KeyError):
            self.limiter = limiter()
        self.connections, self.keeps_rows = _opened_rows(memory)
        for unused in set(memory.values()) - set(self.descriptors.values()):
            os.close(unused)

    def make_cache(self, config: Config) -> CacheRegion:
        """Make empty memory for a configuration's cache. Raises StartError where there is none to be had."""
        size = config.cache.size
        try:
            made = create_cache(size, _largest_object(config))
            return CacheRegion(made, Store(made, derived_key(self.secret, b"cache")), size)
        except OSError as exc:
            fault = f'there is no memory for [cache] size = "{format_size(size)}": {exc.strerror}'
            raise StartError(fault) from exc

    def fits_cache(self, config: Config) -> bool:
        """Tell whether the cache has the size that a configuration wants, in as few parts as its answers need."""
        size, largest = config.cache.size, _largest_object(config)
        store = self.cache.store
        is_roomy = largest <= store.largest_octets or stripes_for(size, largest) == store.stripes
        return size == self.cache.size and is_roomy

    def _held_cache(self, held: Handover, config: Config) -> CacheRegion:
        """Go on with the former program's cache, whose workers may still use it; its size can change later."""
        memory = held.memory
        try:
            found = CacheDescriptors(*(memory[name] for name in (CACHE_MEMORY, CACHE_LOCKS, CACHE_LIFE)))
            return CacheRegion(found, Store(found, derived_key(self.secret, b"cache")), held.cache_size)
        except (SharedMemoryError, KeyError):
            return self.make_cache(config)

    @property
    def descriptors(self) -> Mapping[str, int]:
        """Name each region's descriptor as the control channel does."""
        table, locks = self.limiter.descriptors
        return {
            LIMITER_TABLE: table,
            LIMITER_LOCKS: locks,
            **self.cache.named,
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

    def leave(self, row: int, *, in_order: bool = True) -> None:
        """Forget a worker that has ended, with its connections.

        One that has crashed may have had writes under way: nobody tells when the app has done them, so whatever
        is kept may be from before.
        """
        self.connections.release(row)
        self._count_users()
        if not in_order:
            for region in (self.cache, self.cache_beside):
                if region is not None:
                    region.store.invalidations.purge()

    def _count_users(self) -> None:
        self.limiter.users = len(self.connections.in_use())

    def close(self) -> None:
        """Give the memory back."""
        self.limiter.close()
        self.connections.memory.close()
        self.cache.close()
        if self.cache_beside is not None:
            self.cache_beside.close()


def _largest_object(config: Config) -> int:
    return max(route.cache.object_size for site in config.sites for route in site.routes)


def _opened_rows(memory: Mapping[str, int]) -> tuple[ConnectionRows, bool]:
    """Count connections on, where that is possible; tell whether rows that were given are still theirs."""
    try:
        kind, layout = connection_limits.KIND, connection_limits.LAYOUT
        return ConnectionRows(SharedMemory.attach(memory[CONNECTION_ROWS], kind, layout=layout)), True
    except (SharedMemoryError, KeyError):
        return ConnectionRows.create(), False
