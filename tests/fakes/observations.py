"""What a scrape shows of an instance that does nothing."""

from proxy.telemetry.build import this_build
from proxy.telemetry.counters import PROCESS_WORDS
from proxy.telemetry.metrics import Observation
from proxy.telemetry.totals import Totals


def quiet_observation() -> Observation:
    """Return an observation without sites, workers and certificates."""
    return Observation(
        totals=Totals(process=[0] * PROCESS_WORDS, sites={}),
        build=this_build(),
        started=0.0,
        ready=True,
        workers=(),
        worker_states={},
        worker_exits={},
        supervisor_resident_bytes=0,
        cpu_seconds={},
        reloads={},
        last_reload_successful=True,
        last_reload_success=0.0,
    )
