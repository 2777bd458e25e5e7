"""What Prometheus sees: one observation, rendered at the moment of a scrape."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.telemetry import metric_names as names
from proxy.telemetry.build import Build
from proxy.telemetry.counters import CACHE_OUTCOMES, DURATION_BOUNDS, STATUS_LABELS
from proxy.telemetry.counters import REQUESTS as FIRST_REQUESTS_WORD
from proxy.telemetry.metric_names import Metric
from proxy.telemetry.totals import Totals

_Samples = Iterable[tuple[Sequence[str], float]]
_NANOSECONDS = 1_000_000_000
_FEW = (
    2  # with so many values, a site's counter shows its zeros; with thousands of sites, more would be a flood
)
_REQUEST_LABELS = tuple((code, outcome) for code in STATUS_LABELS for outcome in CACHE_OUTCOMES)
_BUCKET_LABELS = (*map(str, DURATION_BOUNDS), "+Inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerObservation:
    """One worker that holds a slot, at one moment; `started` is Unix time."""

    slot: int
    started: float
    resident_bytes: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateObservation:
    """One name's certificate, at one moment; times are Unix time, None where there is none.

    `reason` is that of the last problem, "" when all is well.
    """

    name: str
    state: str = ""
    not_before: float | None = None
    not_after: float | None = None
    next_attempt: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that a scrape shows, taken at one moment; times are Unix time."""

    totals: Totals
    build: Build
    started: float
    ready: bool
    workers: tuple[WorkerObservation, ...]
    worker_states: Mapping[str, int]
    worker_exits: Mapping[str, int]
    supervisor_resident_bytes: int
    cpu_seconds: Mapping[str, float]
    reloads: Mapping[str, int]
    last_reload_successful: bool
    last_reload_success: float
    behind_gateway: bool = False
    certificates: Sequence[CertificateObservation] = ()
    certificate_failures: Mapping[tuple[str, str], int] = field(default_factory=dict)
    cache_octets: tuple[int, int] = (0, 0)  # taken, and there altogether


def render(observation: Observation, accept: str) -> tuple[bytes, str]:
    """Write an observation as the scraper's Accept field asks for; return it with its media type."""
    encode, content_type = choose_encoder(accept)
    return encode(_Observed(observation)), content_type


class _Observed(Collector):
    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterator[Family]:
        yield from _supervisor_families(self._observation)
        yield from _certificate_families(self._observation)
        yield from _site_families(self._observation.totals.sites)
        yield from _process_families(self._observation.totals.process)


def _family(metric: Metric, samples: _Samples) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, figure in samples:
        family.add_metric(labels, figure)
    return family


def _by_label(figures: Mapping[str, float]) -> _Samples:
    return [((label,), figure) for label, figure in figures.items()]


def _build_labels(build: Build) -> Sequence[str]:
    return (build.version, build.python, build.openssl, build.uvloop, build.form)


def _supervisor_families(seen: Observation) -> Iterator[Family]:
    yield _family(names.BUILD_INFO, [(_build_labels(seen.build), 1)])
    yield _family(names.START_TIME, [((), seen.started)])
    yield _family(names.READY, [((), seen.ready)])
    yield _family(names.WORKERS, _by_label(seen.worker_states))
    yield _family(names.WORKER_EXITS, _by_label(seen.worker_exits))
    slots = [((str(worker.slot),), worker) for worker in seen.workers]
    yield _family(names.WORKER_START_TIME, [(label, worker.started) for label, worker in slots])
    yield _family(names.WORKER_CONNECTIONS, [(label, worker.connections) for label, worker in slots])
    memory = {"supervisor": seen.supervisor_resident_bytes}
    memory |= {f"worker-{worker.slot}": worker.resident_bytes for worker in seen.workers}
    yield _family(names.RESIDENT_MEMORY, _by_label(memory))
    yield _family(names.CPU_SECONDS, _by_label(seen.cpu_seconds))
    yield _family(names.RELOADS, _by_label(seen.reloads))
    yield _family(names.LAST_RELOAD_SUCCESSFUL, [((), seen.last_reload_successful)])
    stored, size = seen.cache_octets
    yield _family(names.CACHE_STORED, [((), stored)])
    yield _family(names.CACHE_SIZE, [((), size)])
    yield _family(names.LAST_RELOAD_SUCCESS, [((), seen.last_reload_success)])
    yield _family(names.BEHIND_GATEWAY, [((), seen.behind_gateway)])


def _certificate_families(seen: Observation) -> Iterator[Family]:
    known = seen.certificates
    times = (
        (names.CERTIFICATE_NOT_BEFORE, [(one.name, one.not_before) for one in known]),
        (names.CERTIFICATE_NOT_AFTER, [(one.name, one.not_after) for one in known]),
        (names.CERTIFICATE_NEXT_ATTEMPT, [(one.name, one.next_attempt) for one in known]),
    )
    for metric, moments in times:
        yield _family(metric, [((name,), moment) for name, moment in moments if moment is not None])
    yield _family(names.CERTIFICATE_STATE, [((one.name, one.state), 1) for one in known if one.state])
    yield _family(
        names.CERTIFICATE_LAST_PROBLEM, [((one.name, one.reason), 1) for one in known if one.reason]
    )
    yield _family(names.CERTIFICATE_FAILURES, seen.certificate_failures.items())


def _site_families(sites: Mapping[str, Sequence[int]]) -> Iterator[Family]:
    yield _family(names.REQUESTS, _request_samples(sites))
    for metric, first_bucket, sum_word in names.HISTOGRAMS:
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for site, words in sites.items():
            buckets = accumulate(words[first_bucket : first_bucket + len(_BUCKET_LABELS)])
            pairs = list(zip(_BUCKET_LABELS, buckets, strict=True))
            histogram.add_metric((site,), pairs, words[sum_word] / _NANOSECONDS)
        yield histogram
    for metric, places in names.SITE_COUNTERS:
        yield _family(
            metric,
            [
                ((site, label)[: len(metric.labels)], words[place])
                for site, words in sites.items()
                for label, place in places.items()
                if words[place] or len(places) <= _FEW
            ],
        )


def _request_samples(sites: Mapping[str, Sequence[int]]) -> Iterator[tuple[Sequence[str], float]]:
    """Tell only what has happened: there are hundreds of pairs of status and outcome per site."""
    for site, words in sites.items():
        for place, labels in enumerate(_REQUEST_LABELS, FIRST_REQUESTS_WORD):
            if words[place]:
                yield (site, *labels), words[place]


def _process_families(words: Sequence[int]) -> Iterator[Family]:
    for metric, places in names.PROCESS_COUNTERS:
        samples = [((label,)[: len(metric.labels)], words[place]) for label, place in places.items()]
        yield _family(metric, samples)
    for metric, pairs in names.OPEN_NOW:
        open_now = {label: words[opened] - words[closed] for label, (opened, closed) in pairs.items()}
        yield _family(metric, [((label,)[: len(metric.labels)], count) for label, count in open_now.items()])
