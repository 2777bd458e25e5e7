"""Another size of the cache: all workers move to other memory together, while they serve.

Theory of operation. What a write voids must never be answered afterwards, whichever worker took the write and
whichever memory another one answers from. So the workers take three steps, and none takes the next before all
have taken the last: void in both memories; answer from the new one; forget the old one. A worker that starts in
between gets the memory that is in use then and the other one beside. What was kept is gone, which costs one fetch
for each key; requests that wait for a fetch get its answer as they would have.
"""

from typing import Final

from proxy.config.schema import Config
from proxy.control.messages import LeaveOtherCache, OpenCacheBeside, SwapCaches
from proxy.supervisor.errors import StartError
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.shared_regions import CacheRegion, SharedRegions
from proxy.telemetry import process_log

_log = process_log.logger("supervisor")

_PATIENCE: Final = 30.0  # seconds for a step; a worker that does not answer is killed before


class CacheMove:
    """Give the cache the size that the configuration says."""

    def __init__(self, regions: SharedRegions, pool: WorkerPool) -> None:
        self._regions = regions
        self._pool = pool
        self._refused: int | None = None  # a size there was no memory for, until another one is wanted

    def prepare(self, config: Config) -> CacheRegion | None:
        """Make the memory that a configuration wants; None where what there is fits.

        Raises StartError where there is none to be had.
        """
        return None if self._regions.fits_cache(config) else self._regions.make_cache(config)

    @property
    def is_possible(self) -> bool:
        """Tell whether every worker that answers knows how: those of the program before an upgrade do not."""
        return not self._pool.has_predecessors

    async def carry_out(self, made: CacheRegion) -> None:
        """Let all workers move; to be done by one task at a time."""
        regions, pool = self._regions, self._pool
        regions.cache_beside = made
        beside = OpenCacheBeside(tuple(made.named))
        await pool.carry_out(beside, tuple(made.named.values()), _PATIENCE)
        regions.cache, regions.cache_beside = made, regions.cache
        await pool.carry_out(SwapCaches(), (), _PATIENCE)
        former, regions.cache_beside = regions.cache_beside, None
        await pool.carry_out(LeaveOtherCache(), (), _PATIENCE)
        former.close()
        _log.info(
            "the cache has other memory",
            extra=process_log.fields(size=made.size, largest_object=made.store.largest_octets),
        )

    def is_due(self, config: Config) -> bool:
        """Tell whether something can be caught up with."""
        is_new = config.cache.size != self._refused
        return is_new and self.is_possible and not self._regions.fits_cache(config)

    async def catch_up(self, config: Config) -> None:
        """Do what could not be done while the workers of the program before this one served."""
        if not self.is_due(config):
            return
        try:
            made = self.prepare(config)
        except StartError as exc:
            self._refused = config.cache.size
            _log.error("the cache keeps its size", extra=process_log.fields(reason=str(exc)))
            return
        if made is not None:
            await self.carry_out(made)
