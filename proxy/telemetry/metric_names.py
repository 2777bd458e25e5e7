"""Every metric by name: what docs/metrics.md lists, and where its figure is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.telemetry import counters as words


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; a counter's name ends in `_total`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


# Counters of the process: metric, meaning, and the word behind each value of the label.
PROCESS_COUNTERS: Final[tuple[tuple[Metric, Mapping[str, int]], ...]] = (
    (
        Metric("foregate_connections_accepted_total", "counter", ("scheme",), "Client connections accepted"),
        {"http": words.HTTP_OPENED, "https": words.HTTPS_OPENED},
    ),
    (
        Metric("foregate_upgraded_connections_total", "counter", (), "Connections upgraded"),
        {"": words.UPGRADED_OPENED},
    ),
    (
        Metric("foregate_tls_handshakes_total", "counter", ("result",), "TLS handshakes by their end"),
        {
            "full": words.HANDSHAKES_FULL,
            "resumed": words.HANDSHAKES_RESUMED,
            "failed": words.HANDSHAKES_FAILED,
            "timed_out": words.HANDSHAKES_TIMED_OUT,
            "name_refused": words.HANDSHAKES_NAME_REFUSED,
        },
    ),
    (
        Metric(
            "foregate_tls_handshake_failures_total",
            "counter",
            ("reason",),
            "TLS handshakes that ended without a connection",
        ),
        {
            reason: words.FIRST_HANDSHAKE_FAILURE + number
            for number, reason in enumerate(words.HANDSHAKE_FAILURES)
        },
    ),
    (
        Metric("foregate_parse_errors_total", "counter", ("kind",), "Malformed messages from clients"),
        {kind: words.FIRST_PARSE_ERROR + number for number, kind in enumerate(words.PARSE_ERROR_KINDS)},
    ),
    (
        Metric("foregate_connections_refused_total", "counter", ("reason",), "Connections closed unasked"),
        {
            "limit": words.CLOSED_AT_LIMIT,
            "per_address": words.REFUSED_PER_ADDRESS,
            "firewall": words.REFUSED_BY_FIREWALL,
            "proxy_protocol": words.PROXY_PROTOCOL_ERRORS,
        },
    ),
    (
        Metric("foregate_client_timeouts_total", "counter", ("phase",), "Clients that were too slow"),
        {
            "head": words.HEAD_TIMEOUTS,
            "body": words.BODY_TIMEOUTS,
            "send": words.SEND_TIMEOUTS,
            "min_rate": words.TOO_SLOW,
        },
    ),
    (
        Metric(
            "foregate_upstream_connections_total", "counter", ("use",), "Upstream connections by their use"
        ),
        {"opened": words.UPSTREAM_OPENED, "reused": words.UPSTREAM_REUSED},
    ),
    (
        Metric("foregate_gateway_peers_total", "counter", (), "Connections from the container's gateway"),
        {"": words.GATEWAY_PEERS},
    ),
    (
        Metric(
            "foregate_shared_memory_busy_total", "counter", ("use",), "Decisions made without a busy lock"
        ),
        {"limiter": words.LIMITER_BUSY, "cache": words.CACHE_BUSY},
    ),
    (
        Metric("foregate_cache_evictions_total", "counter", (), "Answers pushed out before their time"),
        {"": words.CACHE_EVICTED},
    ),
    (
        Metric("foregate_log_lines_dropped_total", "counter", (), "Log lines that nobody took in time"),
        {"": words.LOG_LINES_DROPPED},
    ),
    (
        Metric("foregate_internal_errors_total", "counter", (), "Faults of Foregate's own"),
        {"": words.INTERNAL_ERRORS},
    ),
)

OPEN_NOW: Final[tuple[tuple[Metric, Mapping[str, tuple[int, int]]], ...]] = (
    (
        Metric("foregate_connections_active", "gauge", ("scheme",), "Client connections open now"),
        {
            "http": (words.HTTP_OPENED, words.HTTP_CLOSED),
            "https": (words.HTTPS_OPENED, words.HTTPS_CLOSED),
        },
    ),
    (
        Metric("foregate_upgraded_connections_active", "gauge", (), "Upgraded connections open now"),
        {"": (words.UPGRADED_OPENED, words.UPGRADED_CLOSED)},
    ),
    (
        Metric("foregate_upstream_connections_active", "gauge", (), "Upstream connections open now"),
        {"": (words.UPSTREAM_OPENED, words.UPSTREAM_CLOSED)},
    ),
)

# Counters of a site: like those of the process, with the words within its block.
SITE_COUNTERS: Final[tuple[tuple[Metric, Mapping[str, int]], ...]] = (
    (
        Metric("foregate_received_bytes_total", "counter", ("site",), "Octets that clients sent"),
        {"": words.RECEIVED},
    ),
    (
        Metric("foregate_sent_bytes_total", "counter", ("site",), "Octets that clients were sent"),
        {"": words.SENT},
    ),
    (
        Metric(
            "foregate_limited_requests_total", "counter", ("site", "mode"), "Requests over the rate limit"
        ),
        {"enforced": words.LIMITED, "dry_run": words.LIMITED_DRY_RUN},
    ),
    (
        Metric("foregate_denied_requests_total", "counter", ("site",), "Requests that the firewall refused"),
        {"": words.DENIED},
    ),
    (
        Metric("foregate_cache_stored_total", "counter", ("site",), "Responses that went into the cache"),
        {"": words.STORED},
    ),
    (
        Metric(
            "foregate_cache_bypass_total", "counter", ("site", "reason"), "Requests that passed the cache by"
        ),
        {reason: words.BYPASSED + number for number, reason in enumerate(words.BYPASS_REASONS)},
    ),
    (
        Metric(
            "foregate_upstream_errors_total", "counter", ("site", "reason"), "Attempts without a response"
        ),
        {reason: words.UPSTREAM_FAILED + number for number, reason in enumerate(words.UPSTREAM_ERRORS)},
    ),
    (
        Metric("foregate_upstream_retries_total", "counter", ("site",), "Requests sent to an upstream again"),
        {"": words.RETRIES},
    ),
)

REQUESTS: Final = Metric(
    "foregate_requests_total", "counter", ("site", "code", "cache"), "Finished requests by status and cache"
)
HISTOGRAMS: Final[tuple[tuple[Metric, int, int], ...]] = (
    (
        Metric("foregate_request_duration_seconds", "histogram", ("site",), "Time that requests took"),
        words.DURATION_BUCKETS,
        words.DURATION_SUM,
    ),
    (
        Metric(
            "foregate_upstream_latency_seconds", "histogram", ("site",), "Time to an upstream's first octet"
        ),
        words.UPSTREAM_BUCKETS,
        words.UPSTREAM_SUM,
    ),
)

# What the supervisor knows by itself; metrics.py renders these one by one.
BUILD_INFO: Final = Metric(
    "foregate_build_info", "gauge", ("version", "python", "openssl", "uvloop", "form"), "Always 1"
)
START_TIME: Final = Metric("foregate_start_time_seconds", "gauge", (), "Unix time of the supervisor's start")
READY: Final = Metric("foregate_ready", "gauge", (), "1 while /readyz answers 200")
WORKERS: Final = Metric("foregate_workers", "gauge", ("state",), "Worker processes by state")
WORKER_EXITS: Final = Metric("foregate_worker_exits_total", "counter", ("reason",), "Workers that ended")
WORKER_START_TIME: Final = Metric(
    "foregate_worker_start_time_seconds", "gauge", ("worker",), "Unix time of the worker's start"
)
WORKER_CONNECTIONS: Final = Metric(
    "foregate_worker_connections_active", "gauge", ("worker",), "Client connections open in the worker now"
)
RESIDENT_MEMORY: Final = Metric(
    "foregate_resident_memory_bytes", "gauge", ("process",), "Resident memory of the process"
)
CPU_SECONDS: Final = Metric(
    "foregate_cpu_seconds_total", "counter", ("process",), "User and system CPU time, ended workers included"
)
RELOADS: Final = Metric(
    "foregate_config_reloads_total", "counter", ("result",), "Reloads of the configuration"
)
LAST_RELOAD_SUCCESSFUL: Final = Metric(
    "foregate_config_last_reload_successful", "gauge", (), "1 unless the last reload was refused"
)
LAST_RELOAD_SUCCESS: Final = Metric(
    "foregate_config_last_reload_success_timestamp_seconds",
    "gauge",
    (),
    "Unix time at which the configuration in use was loaded",
)

CACHE_STORED: Final = Metric(
    "foregate_cache_stored_bytes", "gauge", (), "Octets that answers take in the shared cache"
)
CACHE_SIZE: Final = Metric("foregate_cache_size_bytes", "gauge", (), "Octets of the shared cache")
BEHIND_GATEWAY: Final = Metric(
    "foregate_clients_behind_gateway", "gauge", (), "1 while nearly all clients share the container's gateway"
)

CERTIFICATE_NOT_BEFORE: Final = Metric(
    "foregate_certificate_not_before_seconds", "gauge", ("name",), "Unix time at which the certificate begins"
)
CERTIFICATE_NOT_AFTER: Final = Metric(
    "foregate_certificate_not_after_seconds", "gauge", ("name",), "Unix time at which the certificate ends"
)
CERTIFICATE_STATE: Final = Metric(
    "foregate_certificate_state", "gauge", ("name", "state"), "1 for the state that the certificate is in"
)
CERTIFICATE_NEXT_ATTEMPT: Final = Metric(
    "foregate_certificate_next_attempt_seconds", "gauge", ("name",), "Unix time of the next order"
)
CERTIFICATE_LAST_PROBLEM: Final = Metric(
    "foregate_certificate_last_problem",
    "gauge",
    ("name", "reason"),
    "1 for what is wrong with the certificate now",
)
CERTIFICATE_FAILURES: Final = Metric(
    "foregate_certificate_failures_total",
    "counter",
    ("name", "reason"),
    "Attempts that ended without a certificate",
)

METRICS: Final[tuple[Metric, ...]] = (
    BUILD_INFO,
    START_TIME,
    READY,
    WORKERS,
    WORKER_EXITS,
    WORKER_START_TIME,
    WORKER_CONNECTIONS,
    RESIDENT_MEMORY,
    CPU_SECONDS,
    RELOADS,
    LAST_RELOAD_SUCCESSFUL,
    LAST_RELOAD_SUCCESS,
    CACHE_STORED,
    CACHE_SIZE,
    BEHIND_GATEWAY,
    CERTIFICATE_NOT_BEFORE,
    CERTIFICATE_NOT_AFTER,
    CERTIFICATE_STATE,
    CERTIFICATE_NEXT_ATTEMPT,
    CERTIFICATE_LAST_PROBLEM,
    CERTIFICATE_FAILURES,
    REQUESTS,
    *(metric for metric, _buckets, _sum in HISTOGRAMS),
    *(metric for metric, _words in SITE_COUNTERS),
    *(metric for metric, _words in PROCESS_COUNTERS),
    *(metric for metric, _words in OPEN_NOW),
)
