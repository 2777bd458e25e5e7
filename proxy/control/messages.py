"""What the supervisor and a worker say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from proxy.config.schema import Config
from proxy.errors import ForegateError
from proxy.traffic.firewall import Firewalls
from proxy.traffic.top_clients import LimitedClient
from proxy.upstream.addresses import UpstreamMessage

# The regions that all workers share, as Attach names them.
LIMITER_TABLE: Final = "limiter-table"
LIMITER_LOCKS: Final = "limiter-locks"
CACHE_MEMORY: Final = "cache-memory"
CACHE_LOCKS: Final = "cache-locks"
CACHE_LIFE: Final = "cache-life"
CONNECTION_ROWS: Final = "connection-rows"
#: So many clients fit into one report, whatever their addresses and counts.
CLIENTS_IN_REPORT: Final = 30


class ControlError(ForegateError):
    """Say what is wrong with a message on the control channel."""


# Supervisor to worker.


@dataclass(frozen=True, slots=True)
class Attach:
    """Map shared memory: its descriptors travel with the message, in the order of `regions`.

    `secret` is the same for all workers of a supervisor; whoever needs a key derives one of its own from it.
    `row` is where this worker counts its connections.
    """

    worker: int
    row: int
    regions: tuple[str, ...]
    secret: bytes


@dataclass(frozen=True, slots=True)
class Configure:
    """Use this snapshot from now on; `site_blocks` maps a site's name to its block of counters.

    `firewalls` are all its rules, ready for use: the lists of addresses in files are the supervisor's to read.
    """

    generation: int
    config: Config
    site_blocks: Mapping[str, int]
    firewalls: Firewalls = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept connections on the listening socket that travels with the message."""

    name: str
    tls: bool
    port: int


@dataclass(frozen=True, slots=True)
class Unlisten:
    """Stop accepting on the socket that came under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Say Ready when everything that was asked before is done."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer at once, to show that the event loop runs."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop accepting, finish what is in flight within `timeout` seconds, and exit.

    A second one, with a shorter time, overrules the first.
    """

    timeout: float


@dataclass(frozen=True, slots=True)
class ReopenLogs:
    """Open the log files anew, after a rotation."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Take over what the supervisor found out about upstream names and addresses."""

    messages: tuple[UpstreamMessage, ...]


@dataclass(frozen=True, slots=True)
class SetCertificate:
    """Serve this certificate (PEM, leaf first) for a configured name, "*" for a site for any host."""

    name: str
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FailCertificate:
    """End the handshakes that wait for a name's certificate: it cannot be had at present."""

    name: str


@dataclass(frozen=True, slots=True)
class SetThumbprint:
    """Answer the ACME challenges of these names with this account's thumbprint (RFC 8555 section 8.3)."""

    names: tuple[str, ...]
    thumbprint: str


@dataclass(frozen=True, slots=True)
class SetPlaceholder:
    """Greet CDN edges with this certificate while a name's own is being issued: a hold would wait for itself."""

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenCacheBeside:
    """Let writes void what is kept in this memory, too: its descriptors travel along, in the order of `regions`."""

    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SwapCaches:
    """Answer from the memory that was opened beside, and store there."""


@dataclass(frozen=True, slots=True)
class LeaveOtherCache:
    """Forget the cache's memory that is not in use."""


@dataclass(frozen=True, slots=True)
class Sync:
    """Say Synced when everything that came before is done."""

    number: int


Command: TypeAlias = (
    Attach
    | Configure
    | Listen
    | Unlisten
    | Upstreams
    | SetCertificate
    | FailCertificate
    | SetThumbprint
    | SetPlaceholder
    | OpenCacheBeside
    | SwapCaches
    | LeaveOtherCache
    | Sync
    | Serve
    | Ping
    | Drain
    | ReopenLogs
)


# Worker to supervisor.


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything before Serve is done; connections are being accepted."""

    generation: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The snapshot is in use."""

    generation: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The snapshot could not be used; the former one still is."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The event loop runs, and has so many client connections open."""

    sequence: int
    active: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """Somebody else told the worker to stop (SIGTERM): it drains and needs a replacement."""


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything before the Sync of this number is done."""

    number: int


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """A handshake waits for the certificate of this configured name."""

    name: str


@dataclass(frozen=True, slots=True)
class CertificateUnusable:
    """A certificate that was sent turned out to be of no use when it was first needed."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class MostLimited:
    """The clients that the rate limiter refused most often of late, or those that follow in the same list.

    `continues` is false for the first part of a list, which replaces the former one.
    """

    continues: bool
    clients: tuple[LimitedClient, ...]


Report: TypeAlias = (
    Ready
    | Applied
    | Refused
    | Pong
    | Leaving
    | Synced
    | CertificateWanted
    | CertificateUnusable
    | MostLimited
)
