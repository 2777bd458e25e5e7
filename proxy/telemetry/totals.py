"""The supervisor's side of the counters: what all workers, living and ended, have counted together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import add

from proxy.shared_memory import SharedMemory
from proxy.telemetry.counters import (
    COUNTERS_KIND,
    COUNTERS_LAYOUT,
    COUNTERS_SIZE,
    DURATION_BUCKETS,
    DURATION_SUM,
    MAX_SITES,
    NO_SITE,
    OPEN_PAIRS,
    PROCESS_WORDS,
    SITE_WORDS,
)

NO_SITE_LABEL = "-"  # no domain name can be this


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted up to one moment: the words of the process, and those of each site by its label."""

    process: Sequence[int]
    sites: Mapping[str, Sequence[int]]

    @property
    def requests(self) -> int:
        """Count the finished requests of all sites."""
        return sum(sum(words[DURATION_BUCKETS:DURATION_SUM]) for words in self.sites.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """What ended workers counted, for a program that takes this one's place; words that are 0 are left out."""

    layout: int
    blocks: Mapping[str, int]
    process: Sequence[int]
    sites: Mapping[int, Mapping[int, int]]


class CounterLedger:
    """Give each worker a region and each site a block, and add everything up without ever going back.

    Blocks are given for the supervisor's lifetime: a site that is taken out of the configuration keeps its
    own, and finds it again when it comes back.
    """

    def __init__(self, former: LedgerState | None = None) -> None:
        """Start with no worker, and with nothing counted or what a former program of the same layout counted."""
        self._regions: dict[SharedMemory, None] = {}
        self._blocks: dict[str, int] = dict(former.blocks) if former else {}
        self._ended_process: list[int] = list(former.process) if former else [0] * PROCESS_WORDS
        self._ended_sites: dict[int, list[int]] = {}
        for block, words in former.sites.items() if former else ():
            self._ended_sites[block] = [words.get(n, 0) for n in range(SITE_WORDS)]

    def assign(self, names: Iterable[str]) -> Mapping[str, int]:
        """Give every site a block and return all that were given; beyond MAX_SITES they share NO_SITE."""
        for name in names:
            if name not in self._blocks:
                following = len(self._blocks) + 1
                self._blocks[name] = following if following < MAX_SITES else NO_SITE
        return dict(self._blocks)

    def state(self) -> LedgerState:
        """Describe everything but what the living workers hold in their own regions."""
        sites = {
            block: {n: count for n, count in enumerate(words) if count}
            for block, words in self._ended_sites.items()
        }
        return LedgerState(
            layout=COUNTERS_LAYOUT, blocks=dict(self._blocks), process=tuple(self._ended_process), sites=sites
        )

    def adopt(self, descriptor: int) -> SharedMemory:
        """Count the region of a worker that another program started; raises SharedMemoryError."""
        region = SharedMemory.attach(descriptor, COUNTERS_KIND, layout=COUNTERS_LAYOUT)
        self._regions[region] = None
        return region

    def open(self) -> SharedMemory:
        """Make the region of a new worker."""
        region = SharedMemory.create(COUNTERS_KIND, layout=COUNTERS_LAYOUT, size=COUNTERS_SIZE)
        self._regions[region] = None
        return region

    def retire(self, region: SharedMemory) -> None:
        """Add what an ended worker counted to the rest, and give its memory back.

        The connections that it left open are counted as closed.
        """
        del self._regions[region]
        words = region.words[:PROCESS_WORDS].tolist()
        for opened, closed in OPEN_PAIRS:
            words[closed] = max(words[closed], words[opened])
        self._ended_process = list(map(add, self._ended_process, words))
        for block in self._used_blocks():
            ended = self._ended_sites.get(block, _NOTHING)
            self._ended_sites[block] = list(map(add, ended, _block(region, block)))
        region.close()

    def process(self) -> Sequence[int]:
        """Add up the counters of the processes alone."""
        process = self._ended_process
        for region in self._regions:
            process = list(map(add, process, region.words[:PROCESS_WORDS].tolist()))
        return process

    def totals(self) -> Totals:
        """Add up what all workers have counted so far."""
        sites = {NO_SITE_LABEL: self._sum(NO_SITE)}
        sites |= {name: self._sum(block) for name, block in self._blocks.items() if block != NO_SITE}
        return Totals(process=self.process(), sites=sites)

    def requests(self) -> int:
        """Count the finished requests of all sites, without reading anything else."""
        count = 0
        for block in self._used_blocks():
            count += sum(self._ended_sites.get(block, _NOTHING)[DURATION_BUCKETS:DURATION_SUM])
            first = PROCESS_WORDS + block * SITE_WORDS
            for region in self._regions:
                count += sum(region.words[first + DURATION_BUCKETS : first + DURATION_SUM].tolist())
        return count

    def _used_blocks(self) -> set[int]:
        return {NO_SITE, *self._blocks.values()}

    def _sum(self, block: int) -> Sequence[int]:
        words: Sequence[int] = self._ended_sites.get(block, _NOTHING)
        for region in self._regions:
            words = list(map(add, words, _block(region, block)))
        return words


_NOTHING: Sequence[int] = (0,) * SITE_WORDS


def _block(region: SharedMemory, block: int) -> list[int]:
    first = PROCESS_WORDS + block * SITE_WORDS
    words: list[int] = region.words[first : first + SITE_WORDS].tolist()
    return words
