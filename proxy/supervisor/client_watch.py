"""What the workers tell about clients: whom they limit most, and whether all hide behind one address."""

import asyncio
from collections.abc import Sequence
from typing import Final

from proxy.admin.operations import Document
from proxy.control.messages import MostLimited
from proxy.supervisor.snapshot import InUse
from proxy.supervisor.worker_process import WorkerProcess
from proxy.telemetry import counters, process_log
from proxy.telemetry.totals import CounterLedger
from proxy.traffic.gateway import CURE, GatewayAlarm
from proxy.traffic.top_clients import CAPACITY, MINUTE_S, MINUTES, LimitedClient, merge

_log = process_log.logger("supervisor")

_IN_STATUS: Final = 10


class ClientWatch:
    """Gather it from all workers, those that have ended lately included."""

    def __init__(self, in_use: InUse, ledger: CounterLedger) -> None:
        """Start with nothing told. To be made inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._in_use = in_use
        self._ledger = ledger
        self._alarm = GatewayAlarm()
        # By process id: when the list came, and the list.
        self._limited: dict[int, tuple[float, tuple[LimitedClient, ...]]] = {}

    def told(self, worker: WorkerProcess, report: MostLimited) -> None:
        """Take whom a worker limits; nobody vouches for what it says, so it is bounded."""
        before = self._limited.get(worker.pid, (0.0, ()))[1] if report.continues else ()
        clients = (*before, *report.clients)[:CAPACITY]
        self._forget_old()
        self._limited[worker.pid] = (self._loop.time(), clients)

    def check_gateway(self) -> None:
        """Say it loudly when nearly all clients seem to come from the container's gateway."""
        if self._in_use.config.client_ip.trusted:
            self._alarm = GatewayAlarm()
            return
        words = self._ledger.process()
        opened = words[counters.HTTP_OPENED] + words[counters.HTTPS_OPENED]
        alarm = self._alarm.check(opened, words[counters.GATEWAY_PEERS], self._loop.time())
        if alarm:
            _log.warning(alarm)

    @property
    def behind_gateway(self) -> bool:
        """Tell whether nearly all clients came from the container's gateway when it was judged last."""
        return self._alarm.raised

    def limits(self) -> Document:
        """List the most limited clients of the last minutes."""
        return {"minutes": MINUTES, "clients": self._listed(CAPACITY)}

    def status(self) -> Document:
        """Describe what an operator should know of the clients."""
        alarms = [CURE] if self.behind_gateway else []
        return {"limited_clients": self._listed(_IN_STATUS), "alarms": alarms}

    def _listed(self, most: int) -> Sequence[Document]:
        self._forget_old()
        merged = merge((clients for _, clients in self._limited.values()), most)
        return [{"client": one.client, "refused": one.count, "error": one.error} for one in merged]

    def _forget_old(self) -> None:
        """Leave out what workers said that have nothing to say any more, most of them because they ended."""
        oldest = self._loop.time() - MINUTES * MINUTE_S
        self._limited = {pid: told for pid, told in self._limited.items() if told[0] >= oldest}
