"""The defaults are those of the public contract, and workers need nothing but the standard library for them."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from proxy.config import site_tables, tables
from proxy.config.schema import (
    Cache,
    ClientIp,
    Config,
    Firewall,
    Limits,
    Log,
    RateLimit,
    Route,
    Server,
    Site,
    Timeouts,
    Tls,
    Upstream,
)

# The text of the public contract, with its site and route.
CONTRACT = """
[server]
http = [":80"]
https = [":443"]
metrics = "127.0.0.1:9145"
admin = "unix:admin.sock"
admin_token = ""
workers = "auto"
user = ""
proxy_protocol = []
redirect_https = true
drain_timeout = "8s"
linger = "1h"
max_connections = 0

[timeouts]
hello = "10s"
head = "10s"
idle = "75s"
body = "30s"
send = "60s"
connect = "3s"
first_byte = "60s"
read = "60s"
upgraded_idle = "1h"
keepalive_upstream = "4s"

[limits]
head_size = "32KB"
fields = 100
body = "100MB"
min_rate = "500B"
connections_per_ip = 256

[tls]
mode = "acme"
email = ""
directory = "letsencrypt"
ca_file = ""
storage = "ssl_data"
profile = ""
key_type = "p256"
group = false
eab_kid = ""
eab_hmac_key = ""
hold = "15s"
passthrough_challenges = false
min_version = "1.2"
hsts = ""
certificate = ""
private_key = ""

[client_ip]
trusted = []
header = "x-forwarded-for"

[firewall]
allow = []
deny = []

[rate_limit]
rate = "150/m"
burst = 150
per = "site"
ipv6_prefix = 64
exempt = []
exempt_paths = []
dry_run = false

[cache]
ttl = "3s"
size = "64MB"
object_size = "1MB"
credentials = "key"
ignore_cookies = ["_ga", "_ga_*", "_gid", "_gat", "_gat_*", "_fbp", "_gcl_au", "__utm*"]
neutral_fields = []
key_client_address = false
wait = "5s"
grace = "30s"

[log]
format = "json"
access = "stdout"
level = "info"
redact_query = ["token", "access_token", "key", "api_key", "password", "secret", "code", "signature"]

[[site]]
domains = ["app.example.com"]
upstream = "http://app:3000"
upstream_ca_file = ""
upstream_server_name = ""
balance = "least_connections"
host = "preserve"
health = ""
health_interval = "10s"
upgrade = ["websocket"]
redirect = ""
set_request_headers = {}
set_response_headers = {}
tls = {}
firewall = {}
rate_limit = {}
limits = {}
cache = {}
timeouts = {}
"""


def test_defaults_are_those_of_the_contract(parsed: Callable[..., Config]) -> None:
    written_out = parsed(CONTRACT, site=False)
    assert written_out == parsed("")
    assert written_out.sites[0].routes == (Route(upstream=(Upstream(scheme="http", host="app", port=3000),)),)
    assert (written_out.timeouts, written_out.limits, written_out.cache) == (Timeouts(), Limits(), Cache())
    assert (written_out.server, written_out.tls, written_out.log) == (Server(), Tls(), Log())


@pytest.mark.parametrize(
    ("values", "table"),
    [
        (Server, tables.ServerTable),
        (Timeouts, tables.TimeoutsTable),
        (Limits, tables.LimitsTable),
        (Tls, tables.TlsTable),
        (ClientIp, tables.ClientIpTable),
        (Firewall, tables.FirewallTable),
        (RateLimit, tables.RateLimitTable),
        (Cache, tables.CacheTable),
        (Log, tables.LogTable),
    ],
)
def test_every_table_has_the_keys_of_its_value(values: type, table: type[tables.Table]) -> None:
    assert {item.name for item in fields(values)} == set(table.model_fields)


def test_routes_and_sites_have_the_keys_of_their_values() -> None:
    route = {item.name for item in fields(Route)} - {"own_rate"}
    assert route == set(site_tables.RouteTable.model_fields)
    site = set(site_tables.SiteTable.model_fields) - {"domains", "tls", "route"}
    assert site == route - {"path", "strip_prefix"}
    config = {item.name for item in fields(Config)} - {"sites"} | {"site"}
    assert config == set(site_tables.Document.model_fields)


def test_values_are_frozen_slotted_and_survive_the_way_to_a_worker(parsed: Callable[..., Config]) -> None:
    config = parsed('[client_ip]\ntrusted = ["cloudflare", "10.0.0.0/8", "2001:db8::/32"]\n')
    assert pickle.loads(pickle.dumps(config)) == config
    for value in (config, config.server, config.sites[0], config.sites[0].routes[0]):
        assert not hasattr(value, "__dict__")
        with pytest.raises(AttributeError):
            setattr(value, next(iter(fields(value))).name, None)


def test_sites_share_what_they_inherit(parsed: Callable[..., Config]) -> None:
    config = parsed('[[site]]\ndomains = ["b.example.com"]\nupstream = "http://b"\nlimits.body = "1GB"')
    changed, plain = (site.routes[-1] for site in config.sites)
    assert changed.cache is plain.cache is config.cache
    assert changed.limits is not plain.limits is config.limits


def test_a_directory_has_a_url_under_either_name() -> None:
    assert Tls().directory_url == "https://acme-v02.api.letsencrypt.org/directory"
    assert Tls(directory="letsencrypt-staging").directory_url.startswith("https://acme-staging-v02.")
    assert Tls(directory="https://ca.internal/dir").directory_url == "https://ca.internal/dir"


def test_a_site_has_a_route_of_its_own_at_least() -> None:
    assert Site(domains=("a.example",), name="a.example").routes == (Route(),)


def test_the_schema_is_importable_without_anything_else() -> None:
    root = Path(__file__).parents[3]
    script = (
        "import sys; before = set(sys.modules); import proxy.config.schema; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "{'proxy'}"
