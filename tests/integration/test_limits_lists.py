"""Lists of addresses in files: used by all workers, read again on a reload, refused as a whole when faulty.

That a changed list is also read without being asked is shown in tests/unit/supervisor/test_reloading.py.
"""

import random
from pathlib import Path

from tests.fakes.callers import Caller, ask
from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate

ALICE, BOB = "127.0.0.2", "127.0.0.3"


def statuses(gate: Foregate, *sources: str) -> list[int]:
    return [ask(gate.address("http"), source=source).status for source in sources]


def test_a_list_of_a_hundred_thousand_rules_is_changed_and_a_faulty_one_is_not_taken(
    start_foregate: StartForegate, origin: Origin, tmp_path: Path
) -> None:
    draw = random.Random(1)
    rules = [
        f"{draw.randrange(1, 100)}.{draw.randrange(256)}.{draw.randrange(256)}.0/24" for _ in range(99_999)
    ]
    path = tmp_path / "blocked.txt"
    path.write_text("\n".join([*rules[:500], f"{ALICE}  # somebody", *rules[500:]]))
    tables = f'[rate_limit]\nrate = "off"\n[firewall]\ndeny = ["file:{path}"]'
    gate = start_foregate(configuration(origin.url, workers=2, tables=tables))
    gate.wait_serving(2)
    assert statuses(gate, ALICE, BOB) == [403, 200]
    with Caller(gate.address("http"), BOB) as kept:
        assert kept.ask("/").status == 200
        path.write_text("\n".join(["; another", *rules, f"{BOB}/32"]))
        assert gate.admin("POST", "/api/v1/reload")[0] == 200
        assert statuses(gate, ALICE, BOB) == [200, 403]
        assert kept.ask("/").status == 403  # open connections too
    reply = ask(gate.address("http"), source=BOB)
    assert reply.fields["proxy-status"] == "foregate; error=http_request_denied"
    assert gate.metric("foregate_denied_requests_total", site="*") == 4
    path.write_text(f"{ALICE}\n10.0.0.1/8\n")
    status, answer = gate.admin("POST", "/api/v1/reload")
    assert status == 422
    (fault,) = answer["faults"]
    assert fault.startswith(f"{path}:2: ")
    assert statuses(gate, ALICE, BOB) == [200, 403]
    checked = gate.command("check")
    assert checked.returncode == 1
    assert f"{path}:2: " in checked.stderr
