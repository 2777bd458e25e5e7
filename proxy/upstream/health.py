"""Health of one upstream address: what requests observe (passive) merged with what probes report (active).

Theory of operation. All of it ends in one number, `blocked_until`: the balancer may choose an address when
that moment has passed. It is 0 while the address is healthy, infinity while the active probes say that it
is down, and the end of the cool-down after failures. When a cool-down has ended, the next request that is
let through moves the moment one more cool-down ahead, so that exactly one request at a time tries the
address (half-open), and a request that vanishes without a verdict holds nothing up. Its success makes the
address healthy again; its failure doubles the cool-down.
"""

import math
from dataclasses import dataclass
from enum import Enum

FIRST_COOLDOWN = 0.5
LONGEST_COOLDOWN = 10.0  # an app that came back is found again within this time, without any probe
FAILURES_IN_A_ROW = 3


class FailureStage(Enum):
    """How far a failed request got: this decides how much one failure proves."""

    CONNECT = "connect"  # nothing was sent: being wrong costs nothing, the next address takes it
    EXCHANGE = "exchange"  # reset, too late or invalid: perhaps the fault of one path of the app


class HealthState(Enum):
    """What an operator is told about an address."""

    HEALTHY = "healthy"
    COOLING_DOWN = "cooling down"
    TRIAL = "on trial"
    PROBE_FAILED = "probe failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthStatus:
    """A picture of one address's health; `retry_at` (seconds) is None when no cool-down runs."""

    state: HealthState
    reason: str
    failures: int
    retry_at: float | None


class Health:
    """The health of one address, as one worker sees it."""

    __slots__ = (
        "_cooldown",
        "_on_trial",
        "_passive_until",
        "_probe_fault",
        "blocked_until",
        "failures",
        "reason",
    )

    def __init__(self) -> None:
        self.blocked_until = 0.0
        self.failures = 0
        self.reason = ""
        self._passive_until = 0.0
        self._cooldown = 0.0
        self._on_trial = False
        self._probe_fault: str | None = None

    def admit(self, now: float) -> None:
        """Note that a request was let through; the first after a cool-down closes the door behind itself."""
        if 0.0 < self.blocked_until <= now:
            self._on_trial = True
            self._passive_until = now + self._cooldown
            self._settle()

    def failed(self, now: float, stage: FailureStage, reason: str) -> None:
        """Count a failure that the address is to blame for.

        A reused connection that the app closed before any byte of the response is no failure: the next one
        may do well.
        """
        self.failures += 1
        self.reason = reason
        if self._cooldown and not self._on_trial:
            # Requests that were under way when it went out fail one after another: one outage, not many.
            return
        if stage is FailureStage.EXCHANGE and self.failures < FAILURES_IN_A_ROW and not self._on_trial:
            return
        self._on_trial = False
        self._cooldown = min(self._cooldown * 2 or FIRST_COOLDOWN, LONGEST_COOLDOWN)
        self._passive_until = now + self._cooldown
        self._settle()

    def succeeded(self) -> None:
        """Note a response head; the caller may skip this while `failures` is 0."""
        self.failures = 0
        self.reason = ""
        self._passive_until = self._cooldown = 0.0
        self._on_trial = False
        self._settle()

    def probed(self, healthy: bool, reason: str) -> None:
        """Take over the verdict of the active probes; a good one ends a cool-down, too."""
        if healthy:
            self._probe_fault = None
            self.succeeded()
        else:
            self._probe_fault = reason
            self._settle()

    def status(self, now: float) -> HealthStatus:
        """Describe the address for the status page."""
        if self._probe_fault is not None:
            return HealthStatus(
                state=HealthState.PROBE_FAILED,
                reason=self._probe_fault,
                failures=self.failures,
                retry_at=None,
            )
        if self.blocked_until == 0.0:
            return HealthStatus(
                state=HealthState.HEALTHY, reason=self.reason, failures=self.failures, retry_at=None
            )
        on_trial = self._on_trial or self.blocked_until <= now
        state = HealthState.TRIAL if on_trial else HealthState.COOLING_DOWN
        return HealthStatus(
            state=state, reason=self.reason, failures=self.failures, retry_at=self.blocked_until
        )

    def _settle(self) -> None:
        self.blocked_until = math.inf if self._probe_fault is not None else self._passive_until
