"""What is not said is as around it: top level, site, route; single keys override, nothing else changes."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from proxy.config.loader import parse
from proxy.config.schema import Config, ListenAddress, Rate, UnixAddress, Upstream

Parse = Callable[..., Config]

LAYERS = """
[timeouts]
first_byte = "30s"
read = "30s"
[rate_limit]
rate = "10/s"
exempt_paths = ["/static/"]
[tls]
email = "ops@example.com"

[[site]]
domains = ["app.example.com", "www.app.example.com"]
upstream = ["http://a:1", {url = "https://b", weight = 3}, {url = "unix:/run/c", backup = true}]
health = "/healthz"
upgrade = ["WebSocket", "custom/1"]
set_request_headers = {X-A = "site", X-B = "site"}
tls = {hsts = "180d"}
timeouts = {read = "20s"}
cache.ttl = "10s"
  [[site.route]]
  path = "/api/"
  timeouts.send = "5s"
  rate_limit.burst = 5
  set_request_headers = {x-a = "route", X-C = ""}
  [[site.route]]
  path = "/api/v2"
  strip_prefix = true
  upstream = "http://d"
  health = ""
  rate_limit = {exempt_paths = []}
  [[site.route]]
  path = "/z"

[[site]]
domains = ["old.example.com"]
redirect = "https://app.example.com/"
  [[site.route]]
  path = "/live"
  upstream = "http://live"
  [[site.route]]
  path = "/gone"
  cache.ttl = "0s"
"""


def test_values_come_from_the_innermost_table_that_says_them(parsed: Parse) -> None:
    config = parsed(LAYERS, site=False)
    site, old = config.sites
    v2, api, z, whole = site.routes
    assert [route.path for route in site.routes] == ["/api/v2", "/api/", "/z", ""]
    assert (site.name, site.domains) == ("app.example.com", ("app.example.com", "www.app.example.com"))
    assert (site.tls.email, site.tls.hsts, old.tls.hsts) == ("ops@example.com", 180 * 86_400, None)
    assert [r.timeouts.first_byte for r in site.routes] == [30] * 4
    assert [r.timeouts.read for r in site.routes] == [20] * 4
    assert [r.timeouts.send for r in site.routes] == [60, 5, 60, 60]
    assert [r.cache.ttl for r in (*site.routes, *old.routes)] == [10, 10, 10, 10, 0, 3, 3]
    assert [r.health for r in site.routes] == ["", "/healthz", "/healthz", "/healthz"]
    assert [r.strip_prefix for r in site.routes] == [True, False, False, False]
    assert whole.upgrade == ("websocket", "custom/1")
    assert z.upstream is whole.upstream is api.upstream
    assert v2.upstream == (Upstream(scheme="http", host="d", port=80),)
    assert whole.upstream == (
        Upstream(scheme="http", host="a", port=1),
        Upstream(scheme="https", host="b", port=443, weight=3),
        Upstream(scheme="unix", path="/run/c", backup=True),
    )


def test_a_rate_or_burst_of_its_own_gives_a_route_a_bucket_of_its_own(parsed: Parse) -> None:
    v2, api, z, whole = parsed(LAYERS, site=False).sites[0].routes
    assert [route.own_rate for route in (v2, api, z, whole)] == [False, True, False, False]
    assert api.rate_limit.rate == Rate(count=10, seconds=1)
    assert (api.rate_limit.burst, api.rate_limit.exempt_paths) == (5, ("/static/",))
    assert (v2.rate_limit.burst, v2.rate_limit.exempt_paths) == (150, ())


def test_header_maps_are_joined_by_name(parsed: Parse) -> None:
    v2, api, _, whole = parsed(LAYERS, site=False).sites[0].routes
    assert whole.set_request_headers == v2.set_request_headers == (("X-A", "site"), ("X-B", "site"))
    assert api.set_request_headers == (("X-B", "site"), ("x-a", "route"), ("X-C", ""))


def test_a_route_with_an_upstream_is_not_redirected_with_its_site(parsed: Parse) -> None:
    gone, live, whole = parsed(LAYERS, site=False).sites[1].routes
    assert (live.path, live.redirect) == ("/live", "")
    assert gone.redirect == whole.redirect == "https://app.example.com"


def test_without_a_listener_for_https_no_site_has_tls(parsed: Parse) -> None:
    text = '[server]\nhttps = []\n[[site]]\ndomains = ["*"]\nupstream = "http://a"\n'
    assert parsed(text, site=False).sites[0].tls.mode == "off"


@pytest.mark.parametrize(
    ("path", "folder"),
    [("proxy.toml", ""), ("conf/proxy.toml", "conf/"), ("/etc/foregate/proxy.toml", "/etc/foregate/")],
)
def test_relative_paths_begin_at_the_folder_of_the_file(path: str, folder: str) -> None:
    source = """
[tls]
ca_file = "ca.pem"
certificate = "/abs/cert.pem"
private_key = "tls/key.pem"
[log]
access = "access.log"
[firewall]
deny = ["file:deny.txt", "file:/abs/deny.txt", "10.0.0.0/8"]
[[site]]
domains = ["a.de"]
upstream = "https://a"
upstream_ca_file = "app.pem"
tls.storage = "other"
firewall.allow = ["file:allow.txt"]
"""
    config = parse(source.encode(), path=path, environ={})
    assert config.tls.storage == f"{folder}ssl_data"
    assert config.server.admin == UnixAddress(path=f"{folder}ssl_data/admin.sock")
    assert (config.tls.ca_file, config.tls.certificate) == (f"{folder}ca.pem", "/abs/cert.pem")
    assert (config.tls.private_key, config.log.access) == (f"{folder}tls/key.pem", f"{folder}access.log")
    assert config.firewall.deny == (f"file:{folder}deny.txt", "file:/abs/deny.txt", ip_network("10.0.0.0/8"))
    [site] = config.sites
    assert (site.tls.storage, site.tls.ca_file) == (f"{folder}other", f"{folder}ca.pem")
    assert site.routes[0].upstream_ca_file == f"{folder}app.pem"
    assert site.routes[0].firewall.allow == (f"file:{folder}allow.txt",)
    assert site.routes[0].firewall.deny == config.firewall.deny


def test_admin_is_relative_to_the_storage_unless_it_is_absolute_or_tcp(parsed: Parse) -> None:
    assert parsed('[server]\nadmin = "unix:/run/f.sock"').server.admin == UnixAddress(path="/run/f.sock")
    admin = parsed('[tls]\nstorage = "/var/lib/f"\n').server.admin
    assert admin == UnixAddress(path="/var/lib/f/admin.sock")
    text = '[server]\nadmin = "127.0.0.1:9000"\nadmin_token = "0123456789abcdef"'
    assert parsed(text).server.admin == ListenAddress(host="127.0.0.1", port=9000)
