"""The supervisor's own way into the shared cache: purges and figures."""

import asyncio
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Final

from proxy.admin.cache import PurgeOutcome
from proxy.admin.operations import Document
from proxy.config.errors import UnacceptableError
from proxy.config.names import parse_domain
from proxy.supervisor.shared_regions import SharedRegions
from proxy.supervisor.snapshot import InUse
from proxy.telemetry import counters, process_log
from proxy.telemetry.totals import Totals
from proxy.traffic.router import normalise_path

_log = process_log.logger("supervisor")

_TRIES: Final = 100
_PAUSE: Final = 0.01  # seconds
_NAMES_SHOWN: Final = 20


class CacheDesk:
    """Answers the admin API; implements `proxy.admin.cache.CacheOperations`."""

    def __init__(self, regions: SharedRegions, in_use: InUse, totals: Callable[[], Totals]) -> None:
        """Speak of the cache among `regions`."""
        self._regions = regions
        self._in_use = in_use
        self._totals = totals

    @property
    def figures(self) -> tuple[int, int]:
        """Return the octets that answers take and those that there are."""
        cache = self._regions.cache
        return cache.store.stored_octets, cache.size

    def cache(self) -> Document:
        """Describe how full the cache is and what it did."""
        totals = self._totals()
        stored, size = self.figures
        nothing = [0] * counters.SITE_WORDS
        return {
            "size_bytes": size,
            "stored_bytes": stored,
            "largest_object_bytes": self._regions.cache.store.largest_octets,
            "evictions": totals.process[counters.CACHE_EVICTED],
            "busy": totals.process[counters.CACHE_BUSY],
            "sites": [
                {"name": site.name, **_of_site(totals.sites.get(site.name, nothing))}
                for site in self._in_use.config.sites
            ],
        }

    async def purge(self, site: str, prefix: str) -> PurgeOutcome:
        """Make void what is kept for a site ("": all) under a prefix of the path ("": all), in all workers."""
        name = self._name_of(site) if site else ""
        if name is None:
            return PurgeOutcome(fault=self._unknown(site), is_known=False)
        path = normalise_path(prefix.encode()) if prefix else b""
        for _ in range(_TRIES):
            if self._purged(name.encode(), path):
                _log.info("cache purged", extra=process_log.fields(site=name or "all", path=prefix or "all"))
                return PurgeOutcome()
            await asyncio.sleep(_PAUSE)
        return PurgeOutcome(fault="another purge holds the cache; try again")

    def _purged(self, name: bytes, path: bytes) -> bool:
        """Void it in all memory that a worker may answer from; False: some of it is busy."""
        used = (self._regions.cache, self._regions.cache_beside)
        return all(one.store.invalidations.purge(name, path) for one in used if one is not None)

    def _name_of(self, domain: str) -> str | None:
        try:
            wanted = parse_domain(domain)
        except UnacceptableError:
            return None
        return next((site.name for site in self._in_use.config.sites if wanted in site.domains), None)

    def _unknown(self, domain: str) -> str:
        names = [site.name for site in self._in_use.config.sites]
        near = get_close_matches(domain, names, n=1)
        shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        guess = f'; did you mean "{near[0]}"?' if near else "."
        return f'there is no site "{domain}"{guess} Known sites: {shown}'


def _of_site(words: Sequence[int]) -> Document:
    table = words[counters.REQUESTS : counters.DURATION_BUCKETS]
    count = len(counters.CACHE_OUTCOMES)
    outcomes = {name.lower(): sum(table[n::count]) for n, name in enumerate(counters.CACHE_OUTCOMES) if n}
    reasons = {
        reason: words[counters.BYPASSED + n]
        for n, reason in enumerate(counters.BYPASS_REASONS)
        if words[counters.BYPASSED + n]
    }
    return {"requests": outcomes, "stored": words[counters.STORED], "reasons": reasons}
