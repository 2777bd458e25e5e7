"""What the supervisor tells about upstreams; the rest is shown by a running instance."""

from proxy.supervisor.overview import upstream_documents
from proxy.upstream.addresses import HealthCheck, HealthReport, TargetKey, UpstreamAddresses

CHECK = HealthCheck(path="/", authority="app", interval=10.0)


def test_names_and_probed_addresses() -> None:
    over_tcp = TargetKey(scheme="http", host="app", port=3000, address="10.0.0.1", check=CHECK)
    over_unix = TargetKey(scheme="unix", host="", port=0, path="/run/app.sock", check=CHECK)
    over_ipv6 = TargetKey(scheme="http", host="app", port=3000, address="2001:db8::1", check=CHECK)
    assert upstream_documents(
        (
            UpstreamAddresses(name="app", addresses=("10.0.0.1",), fault=""),
            HealthReport(key=over_tcp, healthy=False, reason="refused"),
            HealthReport(key=over_ipv6, healthy=True),
            HealthReport(key=over_unix, healthy=True),
        )
    ) == [
        {"name": "app", "addresses": ["10.0.0.1"], "fault": ""},
        {"name": "app", "address": "10.0.0.1:3000", "healthy": False, "reason": "refused"},
        {"name": "app", "address": "[2001:db8::1]:3000", "healthy": True, "reason": ""},
        {"name": "unix:/run/app.sock", "address": "unix:/run/app.sock", "healthy": True, "reason": ""},
    ]
