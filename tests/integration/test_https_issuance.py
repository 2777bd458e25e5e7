"""From an empty storage to https: the first request, many at once, restarts, several proxies."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fakes.foregate import PATIENCE, Foregate
from tests.fakes.https import IssuingCa, Visitor, refused, site
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate


def visitor(gate: Foregate, ca: IssuingCa) -> Visitor:
    gate.wait_listening()
    return Visitor(gate.address("https"), ca.ca.root_pem())


def test_the_first_request_is_answered_over_the_new_certificate(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa
) -> None:
    config = issuing_ca.configuration(site("first.test", upstream=origin.url))
    gate = start_foregate(config, environ=issuing_ca.environ)
    answer = visitor(gate, issuing_ca).get("first.test")
    assert (answer.status, answer.content) == (200, b"hello from the origin")
    assert not gate.events("certificate problem")
    (row,) = gate.admin("GET", "/api/v1/certificates")[1]["certificates"]
    assert (row["name"], row["state"], row["problem"]) == ("first.test", "valid", None)


def test_fifty_clients_at_once_share_one_order_a_name(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa
) -> None:
    names = ("many.test", "other.test")
    issued = issuing_ca.issued
    config = issuing_ca.configuration(site(*names, upstream=origin.url))
    gate = start_foregate(config, environ=issuing_ca.environ)
    browser = visitor(gate, issuing_ca)
    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(browser.get, names * 25))
    assert [answer.status for answer in answers] == [200] * 50
    assert len({answer.certificate for answer in answers}) == 2
    assert issuing_ca.issued == issued + 2


def test_a_site_may_have_one_certificate_for_all_its_names(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa
) -> None:
    issued = issuing_ca.issued
    names = ("one.group.test", "two.group.test")
    config = issuing_ca.configuration(site(*names, upstream=origin.url), tls="group = true")
    browser = visitor(start_foregate(config, environ=issuing_ca.environ), issuing_ca)
    first, second = map(browser.get, names)
    assert first.certificate == second.certificate
    assert issuing_ca.issued == issued + 1
    assert browser.get(names[0], host=names[1]).status == 200


def test_restarts_ask_the_ca_for_nothing_new(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa, tmp_path: Path
) -> None:
    storage = tmp_path / "kept"
    config = issuing_ca.configuration(
        site("again.test", upstream=origin.url),
        workers=1,
        storage=str(storage),
    )
    certificates, requests = set(), []
    for _ in range(6):
        gate = start_foregate(config, environ=issuing_ca.environ)
        certificates.add(visitor(gate, issuing_ca).get("again.test").certificate)
        gate.terminate()
        requests.append(issuing_ca.requests)
    assert len(certificates) == 1
    assert set(requests) == {requests[0]}


def wait_removed(gate: Foregate, name: str) -> None:
    """Wait until the certificate of a name that is gone has been put aside, a moment after the reload."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        listed = gate.admin("GET", "/api/v1/certificates")[1]["certificates"]
        if any(row["name"] == name and row["removed_at"] is not None for row in listed):
            return
        time.sleep(0.02)
    raise AssertionError(f"the certificate of {name} was not put aside within {PATIENCE} s")


def test_a_reload_brings_names_and_takes_them_away(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa
) -> None:
    def use(*names: str) -> None:
        sites = "".join(site(name, upstream=origin.url) for name in names)
        gate.file.write_text(issuing_ca.configuration(sites))
        assert gate.command("reload").returncode == 0

    names = ("stays.test", "comes.test")
    config = issuing_ca.configuration(site("stays.test", upstream=origin.url))
    gate = start_foregate(config, environ=issuing_ca.environ)
    browser = visitor(gate, issuing_ca)
    assert browser.get("stays.test").status == 200
    use(*names)
    coming = browser.get("comes.test")
    assert coming.status == 200
    issued = issuing_ca.issued

    use("stays.test")
    with refused("TLSV1_UNRECOGNIZED_NAME"):
        browser.get("comes.test")
    wait_removed(gate, "comes.test")
    restored = gate.command("certs", "restore", "comes.test")
    assert (restored.returncode, restored.stderr) == (0, "")
    assert restored.stdout.startswith("comes.test: restored, valid until ")

    use(*names)
    assert browser.get("comes.test").certificate == coming.certificate
    assert issuing_ca.issued == issued


def test_several_proxies_on_one_storage_share_certificates(
    start_foregate: StartForegate, origin: Origin, issuing_ca: IssuingCa, tmp_path: Path
) -> None:
    issued = issuing_ca.issued
    config = issuing_ca.configuration(
        site("shared.test", upstream=origin.url), workers=1, storage=str(tmp_path / "shared")
    )
    # The second one's http port is another: the CA's challenges all come to the first.
    ports = (f"127.0.0.1:{issuing_ca.http_port}", "127.0.0.1:0")
    gates = [
        start_foregate(
            config.replace(ports[0], port).replace("[server]", f'[server]\nadmin = "unix:{number}.sock"'),
            environ=issuing_ca.environ,
        )
        for number, port in enumerate(ports)
    ]
    browsers = [visitor(gate, issuing_ca) for gate in gates]
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda browser: browser.get("shared.test"), browsers))
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].certificate == answers[1].certificate
    assert issuing_ca.issued == issued + 1
