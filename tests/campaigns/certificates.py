"""Short-lived certificates renewing under load, restarts, and a CA that goes away and comes back.

`python -m tests.campaigns.certificates [SECONDS] [LIFETIME] [RESTARTS]` starts Pebble and a real `foregate run`.
Visitors come all the time, each on a new connection with full verification:

1. for SECONDS (600), while certificates that live LIFETIME seconds (60) are renewed again and again;
2. through an outage of the CA: what exists is served, a name that is new meanwhile is refused within the hold,
   and gets its certificate some time after the CA has come back, without a hand;
3. over RESTARTS (20) restarts with certificates that are not due: the CA must not be asked for anything.

Every request that fails is a failure of the campaign.
"""

import ssl
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fakes.foregate import Foregate
from tests.fakes.https import IssuingCa, Visitor, site
from tests.fakes.origin import running_origin
from tests.fakes.pebble import Pebble
from tests.fakes.ports import free_port
from tests.fakes.visits import Visits

NAMES: Final = tuple(f"site{number}.test" for number in range(10))
NEW: Final = "new.test"
HOLD: Final = 5.0
VISITORS: Final = 3
NO_LIMIT: Final = '[rate_limit]\nrate = "off"'
#: The first wait after an outage is a minute; whatever comes is looked for every second.
RECOVERY_PATIENCE: Final = 200.0


@dataclass(frozen=True, slots=True)
class Renewals:
    """What became of the first part."""

    answers: dict[int, int]
    faults: tuple[str, ...]
    certificates_shown: int
    issued: int
    problems: int


@dataclass(frozen=True, slots=True)
class Outage:
    """What became of the second part: seconds until a new name was refused, and until it was served."""

    answers: dict[int, int]
    faults: tuple[str, ...]
    refused_after: float
    recovered_after: float


def renew(seconds: float, lifetime: int, folder: Path) -> Renewals:
    """Serve visitors while certificates come and go."""
    http_port = free_port()
    with running_origin() as origin, Pebble(folder / "ca", http_port, lifetime=lifetime) as pebble:
        ca = IssuingCa(pebble, folder / "ca", http_port)
        config = ca.configuration(site(*NAMES, upstream=origin.url), tables=NO_LIMIT)
        gate = Foregate(folder, config, environ=ca.environ)
        try:
            visits = _visits(gate, pebble, NAMES)
            with visits.going_on(VISITORS):
                time.sleep(seconds)
            return Renewals(
                answers=dict(visits.answers),
                faults=tuple(visits.faults),
                certificates_shown=sum(map(len, visits.certificates.values())),
                issued=ca.issued,
                problems=len(gate.events("certificate problem")),
            )
        finally:
            gate.close()


def lose_the_ca(folder: Path) -> Outage:
    """Take the CA away, want a new name, and bring the CA back."""
    http_port = free_port()
    with running_origin() as origin, Pebble(folder / "ca", http_port) as pebble:
        ca = IssuingCa(pebble, folder / "ca", http_port)

        def config(*names: str) -> str:
            return ca.configuration(
                site(*names, upstream=origin.url), tables=NO_LIMIT, tls=f'hold = "{HOLD}s"'
            )

        gate = Foregate(folder, config(NAMES[0]), environ=ca.environ)
        try:
            visits = _visits(gate, pebble, NAMES[:1])
            visits.browser.get(NAMES[0])
            with visits.going_on(VISITORS):
                pebble.stop()
                gate.file.write_text(config(NAMES[0], NEW))
                gate.command("reload")
                refused_after = _until_refused(visits.browser)
                pebble.start()  # it has forgotten everything: accounts, orders, and its root
                newcomer = Visitor(gate.address("https"), pebble.root_pem())
                recovered_after = _until_served(newcomer)
            return Outage(dict(visits.answers), tuple(visits.faults), refused_after, recovered_after)
        finally:
            gate.close()


def restart(times: int, folder: Path) -> int:
    """Start again and again on one storage; return how many requests the CA got after the first time."""
    http_port = free_port()
    with running_origin() as origin, Pebble(folder / "ca", http_port) as pebble:
        ca = IssuingCa(pebble, folder / "ca", http_port)
        config = ca.configuration(site(*NAMES, upstream=origin.url), tables=NO_LIMIT)
        asked: list[int] = []
        for _ in range(times + 1):
            gate = Foregate(folder, config, environ=ca.environ)
            try:
                gate.wait_listening()
                browser = Visitor(gate.address("https"), pebble.root_pem())
                for name in NAMES:
                    browser.get(name)
                gate.terminate()
            finally:
                gate.close()
            asked.append(ca.requests)
        return asked[-1] - asked[0]


def _visits(gate: Foregate, pebble: Pebble, names: Sequence[str]) -> Visits:
    gate.wait_listening()
    return Visits(Visitor(gate.address("https"), pebble.root_pem()), names)


def _until_refused(browser: Visitor) -> float:
    begun = time.monotonic()
    try:
        browser.connect(NEW).close()
    except ssl.SSLError:
        return time.monotonic() - begun
    raise AssertionError(f"{NEW} has a certificate that nobody can have issued")


def _until_served(browser: Visitor) -> float:
    begun = time.monotonic()
    while time.monotonic() - begun < RECOVERY_PATIENCE:
        try:
            browser.get(NEW)
        except ssl.SSLError:
            time.sleep(1.0)
        else:
            return time.monotonic() - begun
    raise AssertionError(f"{NEW} has no certificate {RECOVERY_PATIENCE} s after the CA came back")


def main(arguments: Sequence[str]) -> int:
    """Run all three parts; return 1 when a request failed or the CA was asked for what was there."""
    given = [int(argument) for argument in arguments]
    seconds, lifetime, restarts = (*given, *(600, 60, 20)[len(given) :])
    failed = False
    with tempfile.TemporaryDirectory(prefix="foregate-certificates-") as name:
        for part in ("renewals", "outage", "restarts"):
            (Path(name) / part).mkdir()
        folder = Path(name)
        renewals = renew(seconds, lifetime, folder / "renewals")
        print(f"renewals, {seconds} s with certificates for {lifetime} s: {renewals}", flush=True)
        failed |= bool(renewals.faults) or set(renewals.answers) != {200}
        outage = lose_the_ca(folder / "outage")
        print(f"outage: {outage}", flush=True)
        failed |= bool(outage.faults) or set(outage.answers) != {200} or outage.refused_after > HOLD + 1
        asked = restart(restarts, folder / "restarts")
        print(f"{restarts} restarts: {asked} requests to the CA", flush=True)
        failed |= asked != 0
    print("failed" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
