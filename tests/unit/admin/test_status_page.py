"""The status page: what the admin API answers, for a terminal."""

from typing import Any

from proxy.admin.status_page import status_page


def status(**changes: Any) -> dict[str, Any]:
    return {
        "version": "1.2.3",
        "pid": 17,
        "state": "serving",
        "user": "nobody",
        "started": "2026-11-22T14:00:00Z",
        "uptime_seconds": 93784.2,
        "configuration": {
            "file": "/etc/foregate/proxy.toml",
            "generation": 4,
            "loaded": "2026-11-22T15:00:00Z",
            "last_reload_faults": [],
        },
        "listeners": [{"purpose": "http", "configured": ":80", "address": "[::]:80"}],
        "workers": [
            {
                "slot": 0,
                "pid": 18,
                "state": "serving",
                "started": "2026-11-22T14:00:01Z",
                "connections": 12,
                "resident_bytes": 30 * 2**20,
            }
        ],
        "worker_exits": {"drained": 0, "crashed": 2, "not_ready": 1},
        "traffic": {
            "requests": 1000,
            "requests_per_second": 12.34,
            "hit_ratio": 0.256,
            "limited": 5,
            "received_bytes": 1023,
            "sent_bytes": 5 * 2**40,
            "connections": {"http": 3, "https": 9},
        },
        **changes,
    }


def test_the_whole_page() -> None:
    assert status_page(status()).splitlines() == [
        "foregate 1.2.3, serving for 1d 2h, pid 17, user nobody",
        "configuration /etc/foregate/proxy.toml, loaded 2026-11-22T15:00:00Z (generation 4)",
        "",
        "requests 1000, 12.3/s lately, cache hits 25.6%, limited 5",
        "connections 3 http, 9 https; received 1023 B, sent 5.0 TB",
        "",
        "LISTENER  CONFIGURED  ADDRESS",
        "http      :80         [::]:80",
        "",
        "WORKER  PID  STATE    CONNECTIONS  MEMORY   STARTED",
        "0       18   serving  12           30.0 MB  2026-11-22T14:00:01Z",
        "",
        "workers that ended: 2 crashed, 1 not ready",
    ]


def test_a_refused_reload_is_shown_with_its_faults() -> None:
    configuration = {**status()["configuration"], "last_reload_faults": ["proxy.toml:3: bad", "and worse"]}
    lines = status_page(status(configuration=configuration)).splitlines()
    assert lines[2:5] == ["the last reload was refused:", "  proxy.toml:3: bad", "  and worse"]


def test_nothing_has_happened_yet() -> None:
    traffic = {**status()["traffic"], "hit_ratio": None, "requests": 0}
    page = status_page(status(traffic=traffic, worker_exits={"crashed": 0}, workers=[], uptime_seconds=0.4))
    assert "serving for 0s" in page
    assert "cache hits -" in page
    assert "workers that ended" not in page


def test_the_second_line_tells_what_runs() -> None:
    build = {
        "form": "compiled",
        "python": "3.11.2",
        "openssl": "3.0.19",
        "uvloop": "0.23.0",
        "platform": "Linux",
    }
    assert status_page(status(build=build)).splitlines()[1] == (
        "hot modules compiled by mypyc; Python 3.11.2, OpenSSL 3.0.19, uvloop 0.23.0"
    )
