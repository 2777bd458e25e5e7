import gc

import pytest

from proxy.config.schema import Route, Site, Upstream
from proxy.upstream.addresses import HealthReport, UpstreamAddresses
from proxy.upstream.balancer import Balancer
from proxy.upstream.directory import UpstreamDirectory
from proxy.upstream.health import FailureStage
from proxy.upstream.targets import health_check, target_keys, upstream_addresses

APP = Upstream(scheme="http", host="app", port=3000)
NOW = 1000.0


def site(*upstreams: Upstream, health: str = "", name: str = "app.example.com") -> Site:
    return Site(domains=(name,), name=name, routes=(Route(upstream=upstreams, health=health),))


def balancer_of(directory: UpstreamDirectory, site: Site) -> Balancer:
    return directory.balancer(site, site.routes[-1])


def addresses(balancer: Balancer) -> list[str]:
    return [member.target.address for member in balancer.members]


@pytest.fixture
def directory() -> UpstreamDirectory:
    return UpstreamDirectory(hash_key=b"key")


def test_a_name_has_no_target_until_it_is_resolved(directory: UpstreamDirectory) -> None:
    config = site(APP)
    balancer = balancer_of(directory, config)
    assert balancer.pick(NOW) is None
    assert directory.fault(config.routes[-1]) == ""
    directory.apply(UpstreamAddresses(name="app", addresses=(), fault="no such name"))
    assert directory.fault(config.routes[-1]) == "no such name"
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.1", "10.0.0.2")))
    assert addresses(balancer) == ["10.0.0.1", "10.0.0.2"]


def test_literals_localhost_and_sockets_need_no_message(directory: UpstreamDirectory) -> None:
    balancer = balancer_of(
        directory,
        site(
            Upstream(scheme="http", host="192.0.2.7", port=80),
            Upstream(scheme="http", host="localhost", port=80),
            Upstream(scheme="unix", path="/run/app.sock", weight=3, backup=True),
        ),
    )
    assert addresses(balancer) == ["192.0.2.7", "127.0.0.1", "::1", ""]
    socket = balancer.members[-1]
    assert (socket.target.key.path, socket.weight, socket.backup) == ("/run/app.sock", 3, True)


def test_addresses_that_stay_keep_their_state(directory: UpstreamDirectory) -> None:
    balancer = balancer_of(directory, site(APP))
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.1", "10.0.0.2")))
    kept = balancer.members[1].target
    kept.in_flight = 5
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.2", "10.0.0.3")))
    assert balancer.members[0].target is kept


def test_other_names_are_left_alone(directory: UpstreamDirectory) -> None:
    balancer = balancer_of(directory, site(APP))
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.1",)))
    before = balancer.members
    directory.apply(UpstreamAddresses(name="other", addresses=("10.0.0.9",)))
    assert balancer.members is before


def test_routes_share_the_state_of_an_address_and_a_reload_keeps_it(directory: UpstreamDirectory) -> None:
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.1", "10.0.0.2")))
    old = balancer_of(directory, site(APP))
    new = balancer_of(directory, site(APP, name="other.example.com"))
    shared = old.members[0].target
    assert new.members[0].target is shared
    shared.health.failed(NOW, FailureStage.CONNECT, "refused")
    assert new.pick(NOW) is not shared


def test_targets_that_nobody_refers_to_are_forgotten(directory: UpstreamDirectory) -> None:
    balancer = balancer_of(directory, site(APP))
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.1", "10.0.0.2")))
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.2",)))
    gc.collect()
    assert [target.address for target in directory.targets()] == ["10.0.0.2"]
    assert len(balancer) == 1
    del balancer
    gc.collect()
    assert directory.targets() == []


def test_a_report_reaches_the_target_whenever_it_comes(directory: UpstreamDirectory) -> None:
    config = site(APP, health="/healthz")
    route = config.routes[-1]
    check = health_check(config, route)
    one, two = target_keys(APP, route, check, ("10.0.0.1", "10.0.0.2"))
    directory.apply(HealthReport(key=one, healthy=False, reason="answered 503"))
    balancer = balancer_of(directory, config)
    directory.apply(UpstreamAddresses(name="app", addresses=("10.0.0.1", "10.0.0.2")))
    assert {t.address for _ in range(4) if (t := balancer.pick(NOW))} == {"10.0.0.2"}
    directory.apply(HealthReport(key=two, healthy=False, reason="answered 503"))
    directory.apply(HealthReport(key=one, healthy=True))
    assert {t.address for _ in range(4) if (t := balancer.pick(NOW))} == {"10.0.0.1"}


def test_a_probe_names_the_site_where_requests_do() -> None:
    plain = site(APP, health="/healthz")
    check = health_check(plain, plain.routes[-1])
    assert check is not None
    assert (check.path, check.authority, check.interval) == ("/healthz", "app.example.com", 10.0)
    for other in (
        Site(domains=("*",), name="*", routes=(Route(upstream=(APP,), health="/healthz"),)),
        Site(domains=("a",), name="a", routes=(Route(upstream=(APP,), health="/healthz", host="upstream"),)),
    ):
        check = health_check(other, other.routes[-1])
        assert check is not None
        assert check.authority == ""
    assert health_check(site(APP), Route(upstream=(APP,))) is None


def test_tls_settings_belong_to_https_targets_alone() -> None:
    route = Route(upstream_ca_file="/ca.pem", upstream_server_name="internal")
    (plain,) = target_keys(APP, route, None, ["10.0.0.1"])
    assert (plain.ca_file, plain.server_name) == ("", "")
    (secure,) = target_keys(Upstream(scheme="https", host="app", port=443), route, None, ["10.0.0.1"])
    assert (secure.ca_file, secure.server_name) == ("/ca.pem", "internal")


def test_the_addresses_of_an_upstream() -> None:
    resolved = {"app": ("10.0.0.1",)}
    assert upstream_addresses(APP, resolved) == ("10.0.0.1",)
    assert upstream_addresses(APP, {}) == ()
    assert upstream_addresses(Upstream(scheme="http", host="::1", port=80), resolved) == ("::1",)
