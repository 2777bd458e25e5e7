"""Renewals go on under load without one failed request; `campaigns/certificates.py` does it for long."""

from pathlib import Path

from tests.fakes.https import IssuingCa, Visitor, site
from tests.fakes.origin import Origin
from tests.fakes.pebble import Pebble
from tests.fakes.ports import free_port
from tests.fakes.visits import Visits
from tests.integration.conftest import StartForegate

LIFETIME = (
    30  # seconds; renewed after half of it, or a little before, so that a busy machine has the other half
)
NAMES = ("one.test", "two.test")


def test_renewals_under_load(start_foregate: StartForegate, origin: Origin, tmp_path: Path) -> None:
    http_port = free_port()
    with Pebble(tmp_path / "ca", http_port, lifetime=LIFETIME) as pebble:
        ca = IssuingCa(pebble, tmp_path / "ca", http_port)
        config = ca.configuration(site(*NAMES, upstream=origin.url), tables='[rate_limit]\nrate = "off"')
        gate = start_foregate(config, environ=ca.environ)
        gate.wait_listening()
        visits = Visits(Visitor(gate.address("https"), pebble.root_pem()), NAMES)
        with visits.going_on(visitors=3):
            for name in NAMES:
                gate.wait("certificate in use", 2, name=name)
            visits.wait_shown(2)  # workers get a certificate a moment after the log says so
    assert visits.faults == []
    assert set(visits.answers) == {200}
    assert not gate.events("certificate problem")
