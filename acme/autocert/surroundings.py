"""What the manager lives in: clock, threads, disk, CAs, DNS. A test puts its own in their place."""

from dataclasses import dataclass, field

from autocert.clock import Clock, SystemClock
from autocert.files import Disk
from autocert.resolver import Resolver
from autocert.session import Connect, connect
from autocert.threads import Runner, Threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The real ones unless told otherwise; `resolver` None means the one that the settings name."""

    clock: Clock = field(default_factory=SystemClock)
    runner: Runner = field(default_factory=Threads)
    disk: Disk = field(default_factory=Disk)
    connect: Connect = connect
    resolver: Resolver | None = None
