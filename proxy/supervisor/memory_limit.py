"""Whether the memory that this process and its workers may use is enough for the configuration.

Shared memory counts against a container's limit like any other. A cache that does not fit does no harm while it is
nearly empty; when it fills, the kernel kills workers, which does not free it.
"""

from pathlib import Path
from typing import Final

from proxy.config.quantities import format_size
from proxy.config.schema import Config
from proxy.supervisor.cgroups import folders, lines
from proxy.supervisor.cpus import worker_count
from proxy.telemetry import process_log

_log = process_log.logger("supervisor")

_MEGABYTE: Final = 1 << 20
_EACH_WORKER: Final = 40 * _MEGABYTE  # of its own, with a few hundred connections; measured 27 to 35 MB
_SUPERVISOR: Final = 50 * _MEGABYTE
_FILES: Final = {1: "memory.limit_in_bytes", 2: "memory.max"}
_NO_LIMIT: Final = 1 << 60  # what cgroup v1 writes where there is none is near 2**63


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the smallest limit of the cgroups that this process is in, in octets; None where there is none."""
    written = (next(lines(folder / _FILES[version]), "") for version, folder in folders(root, "memory"))
    limits = [int(text) for text in written if text.isdecimal() and int(text) < _NO_LIMIT]
    return min(limits, default=None)


def needed_memory(config: Config) -> int:
    """Estimate what supervisor, workers and a full cache take, in octets."""
    return _SUPERVISOR + worker_count(config.server.workers) * _EACH_WORKER + config.cache.size


def warn_of_memory(config: Config, limit: int | None) -> None:
    """Say so when a full cache would not leave enough for the workers."""
    needed = needed_memory(config)
    if limit is not None and needed > limit:
        fields = process_log.fields(
            needed=format_size(needed // _MEGABYTE * _MEGABYTE),
            limit=format_size(limit // _MEGABYTE * _MEGABYTE),
            cure="allow this container more memory, or set a smaller [cache] size or fewer workers",
        )
        _log.warning("the memory limit is too low for a full cache", extra=fields)
