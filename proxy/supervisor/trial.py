"""The trial start: the new program shows that it could take the running one's place, without touching it."""

import asyncio

from proxy.config.schema import Config
from proxy.supervisor.handover import Handover, HandoverError, read
from proxy.supervisor.listeners import endpoints, open_listener
from proxy.supervisor.pool import WorkerPool
from proxy.supervisor.processes import Children, keep_descriptors
from proxy.supervisor.shared_regions import SharedRegions
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.source import ConfigFile, Loaded
from proxy.supervisor.worker_process import Briefing
from proxy.telemetry import process_log
from proxy.telemetry.counters import COUNTERS_LAYOUT
from proxy.telemetry.totals import CounterLedger
from proxy.traffic.limiter_table import KEY_SIZE, LimiterTable

_PATIENCE = 40.0  # seconds for a worker to get ready, on a machine that is busy


def try_out(file: ConfigFile, descriptor: int, command: tuple[str, ...]) -> None:
    """Do what a start does, with one worker that gets no socket, and end it.

    Raises ConfigError or StartError with the reason for which an upgrade would fail.
    """
    held = read(descriptor)
    keep_descriptors()
    loaded = file.read()
    process_log.configure(loaded.config.log.format, "error")
    if held.ledger.layout != COUNTERS_LAYOUT:
        raise HandoverError(
            "this version counts in another way, and counters must not go back: restart instead"
        )
    _bind_what_is_new(loaded.config, held)
    fault = asyncio.run(_start_a_worker(loaded, command))
    if fault:
        raise HandoverError(fault)


def _bind_what_is_new(config: Config, held: Handover) -> None:
    open_already = {(one.purpose, one.endpoint) for one in held.sockets}
    for endpoint in endpoints(config):
        if (endpoint.purpose.value, str(endpoint)) not in open_already:
            open_listener(endpoint).close()


async def _start_a_worker(loaded: Loaded, command: tuple[str, ...]) -> str:
    loop = asyncio.get_running_loop()
    hopeless: asyncio.Future[str] = loop.create_future()
    children, ledger = Children(loop), CounterLedger()
    regions = SharedRegions(loaded.config, lambda: LimiterTable.create(bytes(KEY_SIZE)))
    in_use = InUse(loaded, (), ledger)

    def briefing() -> Briefing:
        return Briefing(
            configure=in_use.configure,
            listeners=(),
            upstreams=(),
            memory=regions.descriptors,
            secret=regions.secret,
        )

    pool = WorkerPool(children, ledger, command, briefing, hopeless.set_result, register=regions)
    pool.resize(1, 0.0)
    ready = asyncio.create_task(_ready(pool))
    ends: list[asyncio.Future[str]] = [ready, hopeless]
    done, _ = await asyncio.wait(ends, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if hopeless in done:
        return f"its workers end before they are ready ({hopeless.result()})"
    await pool.drain(0.0)
    children.close()
    return "" if ready in done else f"its worker was not ready within {_PATIENCE:.0f} s"


async def _ready(pool: WorkerPool) -> str:
    await pool.wait_ready()
    return ""
