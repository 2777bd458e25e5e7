"""What the supervisor tells about itself: the figures for Prometheus, and the pages of the admin API."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict

from proxy.admin.operations import Document
from proxy.supervisor import privileges
from proxy.supervisor.listeners import bracketed
from proxy.supervisor.moments import moment
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.processes import cpu_seconds, resident_bytes
from proxy.supervisor.rates import Rate
from proxy.supervisor.reloading import Reloader
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.upgrade import Succession
from proxy.supervisor.worker_process import ExitReason, WorkerProcess
from proxy.telemetry import counters
from proxy.telemetry.build import this_build
from proxy.telemetry.metrics import Observation, WorkerObservation
from proxy.telemetry.totals import CounterLedger, Totals
from proxy.upstream.addresses import HealthReport, UpstreamAddresses, UpstreamMessage

_OUTCOMES = len(counters.CACHE_OUTCOMES)
_LOOKED_UP = range(1, _OUTCOMES)  # all outcomes but NONE, which is no cache at all
_SERVED_FROM_CACHE = tuple(map(counters.CACHE_OUTCOMES.index, ("HIT", "STALE", "COLLAPSED", "REVALIDATED")))


class Overview:
    """Look at the parts of the supervisor; changes nothing."""

    def __init__(
        self,
        in_use: InUse,
        ledger: CounterLedger,
        pool: WorkerPool,
        reloader: Reloader,
        succession: Succession,
    ) -> None:
        """Describe these parts, from now on; `requests` is to be sampled by the caller."""
        self._in_use = in_use
        self._ledger = ledger
        self._pool = pool
        self._reloader = reloader
        self._started = succession.started
        self._upgrades = succession.upgrades
        self._build = this_build()
        self.requests = Rate()

    def observation(self, *, ready: bool) -> Observation:
        """Collect what a scrape shows."""
        pool = self._pool
        accepted, refused = self._reloader.results[True], self._reloader.results[False]
        times = os.times()
        living = [*pool.workers, *pool.lingering]
        return Observation(
            totals=self._ledger.totals(),
            build=self._build,
            started=self._started,
            ready=ready,
            workers=tuple(map(_observed, pool.workers)),
            worker_states={state.value: count for state, count in pool.states().items()},
            worker_exits={reason.value: pool.exits[reason] for reason in ExitReason},
            supervisor_resident_bytes=resident_bytes(os.getpid()),
            cpu_seconds={
                "supervisor": times.user + times.system,
                "workers": pool.ended_cpu_seconds + sum(cpu_seconds(worker.pid) for worker in living),
            },
            reloads={"accepted": accepted, "refused": refused},
            last_reload_successful=not self._reloader.last_faults,
            last_reload_success=self._in_use.since,
        )

    def status(self, state: str) -> Document:
        """Describe the instance on one page."""
        totals = self._ledger.totals()
        return {
            "version": self._build.version,
            "build": {key: told for key, told in asdict(self._build).items() if key != "version"},
            "pid": os.getpid(),
            "state": state,
            "user": privileges.current_user(),
            "started": moment(self._started),
            "upgrades": self._upgrades,
            "upgrading": self._pool.has_predecessors,
            "uptime_seconds": round(time.time() - self._started, 1),
            "configuration": {
                "file": str(self._reloader.file.path),
                "generation": self._in_use.generation,
                "loaded": moment(self._in_use.since),
                "last_reload_faults": list(self._reloader.last_faults),
            },
            "listeners": [
                {
                    "purpose": listener.endpoint.purpose.value,
                    "configured": str(listener.endpoint),
                    "address": listener.bound,
                }
                for listener in self._in_use.listeners.values()
            ],
            "workers": [_described(worker) for worker in (*self._pool.workers, *self._pool.lingering)],
            "worker_exits": {reason.value: self._pool.exits[reason] for reason in ExitReason},
            "traffic": self._traffic(totals),
        }

    def sites(self) -> Sequence[Document]:
        """Describe the sites and what they have done."""
        counted = self._ledger.totals().sites
        nothing = [0] * counters.SITE_WORDS
        return [
            {
                "name": site.name,
                "domains": list(site.domains),
                "routes": [route.path or "/" for route in site.routes],
                **_requests(counted.get(site.name, nothing)),
            }
            for site in self._in_use.config.sites
        ]

    def _traffic(self, totals: Totals) -> Document:
        words = [sum(column) for column in zip(*totals.sites.values(), strict=True)]
        process = totals.process
        return {
            **_requests(words),
            "requests_per_second": round(self.requests.per_second, 2),
            "connections": {
                "http": process[counters.HTTP_OPENED] - process[counters.HTTP_CLOSED],
                "https": process[counters.HTTPS_OPENED] - process[counters.HTTPS_CLOSED],
            },
        }


def _requests(words: Sequence[int]) -> dict[str, object]:
    table = words[counters.REQUESTS : counters.DURATION_BUCKETS]
    by_outcome = [sum(table[n::_OUTCOMES]) for n in range(_OUTCOMES)]
    looked_up = sum(by_outcome[n] for n in _LOOKED_UP)
    from_cache = sum(by_outcome[n] for n in _SERVED_FROM_CACHE)
    return {
        "requests": sum(by_outcome),
        "hit_ratio": round(from_cache / looked_up, 4) if looked_up else None,
        "limited": words[counters.LIMITED],
        "received_bytes": words[counters.RECEIVED],
        "sent_bytes": words[counters.SENT],
    }


def _observed(worker: WorkerProcess) -> WorkerObservation:
    return WorkerObservation(
        slot=worker.slot,
        started=worker.started,
        resident_bytes=resident_bytes(worker.pid),
        connections=worker.connections,
    )


def _described(worker: WorkerProcess) -> Document:
    return {
        "slot": worker.slot,
        "pid": worker.pid,
        "state": worker.state.value,
        "started": moment(worker.started),
        "connections": worker.connections,
        "resident_bytes": resident_bytes(worker.pid),
    }


def upstream_documents(messages: Sequence[UpstreamMessage]) -> Sequence[Document]:
    """Describe what is known about upstream names, and about addresses that are probed."""
    documents: list[Document] = []
    for message in messages:
        match message:
            case UpstreamAddresses():
                found = {"addresses": list(message.addresses), "fault": message.fault}
                documents.append({"name": message.name, **found})
            case HealthReport():
                key = message.key
                place = f"unix:{key.path}" if key.path else f"{bracketed(key.address)}:{key.port}"
                health = {"healthy": message.healthy, "reason": message.reason}
                documents.append({"name": key.host or place, "address": place, **health})
    return documents
