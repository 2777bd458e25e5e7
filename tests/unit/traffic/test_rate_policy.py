"""A route's policy names buckets as the configuration says, and exempts what it says."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from proxy.config import schema
from proxy.traffic.address import address_from_packed
from proxy.traffic.rate_policy import RatePolicy, slowest

KEY = bytes(range(32))


def policy(site: str = "a.example", own_route: str | None = None, **settings: Any) -> RatePolicy:
    made = RatePolicy.of(schema.RateLimit(**settings), KEY, site, own_route)
    assert made is not None
    return made


def bucket(made: RatePolicy, address: str = "192.0.2.1") -> int | None:
    return made.bucket(ip_address(address).packed)


def test_a_rate_that_is_off_makes_no_policy() -> None:
    assert RatePolicy.of(schema.RateLimit(rate=None), KEY, "a.example", None) is None


def test_the_default_is_150_a_minute_with_as_many_at_once() -> None:
    made = policy()
    assert (made.kind.period_us, made.kind.burst) == (400_000, 150)
    assert not made.dry_run


def test_each_site_has_its_own_bucket_per_client() -> None:
    assert bucket(policy("a.example")) == bucket(policy("a.example"))
    assert bucket(policy("a.example")) != bucket(policy("b.example"))


def test_one_bucket_per_client_for_the_whole_proxy() -> None:
    assert bucket(policy("a.example", per="proxy")) == bucket(policy("b.example", per="proxy"))


@pytest.mark.parametrize("per", ["site", "proxy"])
def test_a_route_with_a_rate_of_its_own_has_its_own_bucket(per: str) -> None:
    buckets = {
        bucket(policy("a.example", per=per)),
        bucket(policy("a.example", "/login", per=per)),
        bucket(policy("a.example", "/api", per=per)),
        bucket(policy("b.example", "/api", per=per)),
    }
    assert len(buckets) == 4


def test_another_rate_keeps_the_bucket() -> None:
    assert bucket(policy()) == bucket(policy(rate=schema.Rate(count=1, seconds=1), burst=1))


def test_ipv6_clients_share_the_bucket_of_their_prefix() -> None:
    assert bucket(policy(), "2001:db8::1") == bucket(policy(), "2001:db8::2:3:4:5")
    assert bucket(policy(), "2001:db8::1") != bucket(policy(), "2001:db8:0:1::1")
    assert bucket(policy(ipv6_prefix=128), "2001:db8::1") != bucket(policy(ipv6_prefix=128), "2001:db8::2")
    assert bucket(policy(ipv6_prefix=48), "2001:db8::1") == bucket(policy(ipv6_prefix=48), "2001:db8:0:1::1")


def test_exempt_addresses_have_no_bucket() -> None:
    made = policy(exempt=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/64")))
    assert bucket(made, "10.1.2.3") is None
    assert bucket(made, "2001:db8::9") is None
    assert bucket(made, "11.0.0.0") is not None


@pytest.mark.parametrize(
    ("path", "exempt"),
    [
        (b"/static/app.css", True),
        (b"/static/", True),
        (b"/static", True),
        (b"/staticky", False),
        (b"/img/a.png", True),
        (b"/img", True),
        (b"/images", False),
        (b"/", False),
        (b"/a/static/", False),
        (b"*", False),
        (b"/static/100%25.png", True),
        (b"/static/a;v=1/b.css", True),
        (b"/static/app.css?next=/../login", True),
        (b"/x/../static/app.css", False),
        (b"/STATIC/app.css", False),
    ],
)
def test_exempt_paths_count_at_segment_boundaries(path: bytes, exempt: bool) -> None:
    assert policy(exempt_paths=("/static/", "/img")).exempts(path) is exempt
    assert not policy().exempts(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/static/..%2flogin",
        b"/static/..%2Flogin",
        b"/static/..;/login",
        b"/static/..\\login",
        b"/static/%252e%252e/login",
        b"/static/%252E%252E%252Flogin",
        b"/static/;/../login",
        b"/static/%2e%2e;/login",
        b"/static/x%5c..%5c..%5clogin",
        b"/static/%c0%ae%c0%ae/login",
        b"/static%2f..%2flogin",
        b"//static/login",
        b"/static;" + b"x" * 600,
    ],
)
def test_a_path_that_an_app_may_read_as_another_is_not_exempt(path: bytes) -> None:
    assert not policy(exempt_paths=("/static/",)).exempts(path)


def test_the_root_as_an_exempt_path_exempts_every_path() -> None:
    assert policy(exempt_paths=("/",)).exempts(b"/anything")


@pytest.mark.parametrize(
    ("text", "prefix", "name"),
    [
        ("192.0.2.1", 64, "192.0.2.1"),
        ("2001:db8:1:2:3::4", 64, "2001:db8:1:2::/64"),
        ("64:ff9b::c000:201", 64, "64:ff9b::c000:201"),
        ("2002:c000:201:7::1", 64, "2002:c000:201::/48"),
        ("2001:db8:1:2:3::4", 48, "2001:db8:1::/48"),
        ("2001:db8:1:2:3::4", 128, "2001:db8:1:2:3::4"),
    ],
)
def test_a_client_is_named_as_it_is_limited(text: str, prefix: int, name: str) -> None:
    address = address_from_packed(ip_address(text).packed)
    assert policy(ipv6_prefix=prefix).client_name(address) == name


def test_a_burst_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 1221"):
        policy(rate=schema.Rate(count=1, seconds=3600), burst=2000)


def test_the_slowest_of_several_policies_counts() -> None:
    quick, slow, equal = (
        policy(site, rate=schema.Rate(count=count, seconds=60))
        for count, site in ((100, "a.example"), (10, "b.example"), (10, "c.example"))
    )
    assert slowest([quick, slow, None, equal]) is slow
    assert slowest([None]) is None


def test_a_policy_that_is_only_tried_out_never_stands_in_for_one_that_refuses() -> None:
    refuses = policy(rate=schema.Rate(count=10, seconds=60), burst=10)
    tried = policy(own_route="/login", rate=schema.Rate(count=5, seconds=60), burst=5, dry_run=True)
    assert slowest([refuses, tried]) is refuses
    assert slowest([tried, None]) is tried
