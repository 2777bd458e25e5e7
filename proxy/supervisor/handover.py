"""What a supervisor leaves to the program that takes its place (`foregate upgrade`).

Theory of operation. The new program is executed in the same process, so it has the same process id and the
same children. Listening sockets, shared memory and the ends of the control channels are descriptors that stay
open; what they are is written down in a memfd whose number is in the environment. The document is JSON with
names, not pickled, since the two programs may differ; what the new one does not find in it is a reason to
refuse, which a trial finds out before anything is given up.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, cast

from proxy.supervisor.errors import StartError
from proxy.telemetry.totals import LedgerState

TRIAL: Final = "FOREGATE_TRIAL"
HANDOVER: Final = "FOREGATE_HANDOVER"
_FORMAT: Final = 1


class HandoverError(StartError):
    """Say why this program cannot take the place of the running one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSocket:
    """A listening socket: what it was opened for, as `[server]` has it, and its descriptor."""

    purpose: str
    endpoint: str
    descriptor: int
    lent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWorker:
    """A worker that goes on serving until its successors do; `started` is Unix time.

    `row` is where it counts its connections; `channel` is None for one that cannot be told anything any more.
    """

    slot: int
    row: int
    pid: int
    started: float
    channel: int | None
    region: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Everything that outlives the program; `memory` names descriptors as the control channel does."""

    version: str
    source: str  # the configuration that the trial has accepted
    started: float
    generation: int
    upgrades: int
    secret: str
    memory: Mapping[str, int]
    cache_size: int
    sockets: tuple[HeldSocket, ...]
    workers: tuple[HeldWorker, ...]
    ledger: LedgerState
    reloads: Mapping[str, int]
    worker_exits: Mapping[str, int]
    ended_cpu_seconds: float
    certificate_failures: tuple[tuple[str, str, int], ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """List every descriptor that has to stay open."""
        held = [*self.memory.values(), *(held.descriptor for held in self.sockets)]
        ends = [end for worker in self.workers for end in (worker.channel, worker.region) if end is not None]
        return (*held, *ends)


def write(handover: Handover) -> int:
    """Write it down; return the descriptor, which a child does not inherit by itself."""
    descriptor = os.memfd_create("foregate-handover", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps({"format": _FORMAT, **asdict(handover)}).encode())
    return descriptor


def read(descriptor: int) -> Handover:
    """Read what another program wrote. Raises HandoverError for what this one does not understand."""
    try:
        document = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        if document.pop("format") != _FORMAT:
            raise HandoverError("the running program hands over in a format that this one does not know")
        document["sockets"] = tuple(HeldSocket(**held) for held in document["sockets"])
        document["workers"] = tuple(HeldWorker(**held) for held in document["workers"])
        document["ledger"] = _ledger(document["ledger"])
        document["certificate_failures"] = tuple(map(tuple, document["certificate_failures"]))
        known = {field.name for field in fields(Handover)}
        return Handover(**{name: value for name, value in document.items() if name in known})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise HandoverError(
            f"what the running program hands over is not understood ({exc!r}); restart instead"
        ) from exc


def _ledger(written: Mapping[str, Any]) -> LedgerState:
    """Turn JSON's texts back into the numbers of blocks and words."""
    sites = cast("Mapping[str, Mapping[str, int]]", written["sites"])
    numbered = {int(block): {int(n): count for n, count in words.items()} for block, words in sites.items()}
    return LedgerState(**{**written, "sites": numbered, "process": tuple(written["process"])})
