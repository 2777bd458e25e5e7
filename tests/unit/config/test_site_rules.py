"""Faults between keys of sites and routes are found, and say which other key they collide with."""

from collections.abc import Callable

import pytest

from proxy.config.quantities import parse_rate
from proxy.config.schema import Config
from proxy.traffic.limiter import TokenBucket

Lines = Callable[..., list[str]]
SITE = '[[site]]\ndomains = ["a.de"]\nupstream = "http://a"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", " site: found nothing, expected at least one [[site]]; three lines are enough: [[site]]"),
        ("site = []", "1: site: found nothing, expected at least one [[site]]"),
        (
            '[[site]]\nupstream = "http://a"',
            "1: site[0].domains: found nothing, expected the names of the site",
        ),
        (
            '[[site]]\ndomains = []\nupstream = "http://a"',
            "2: site[0].domains: found an empty list, expected the names",
        ),
        (
            SITE + "[[site.route]]",
            '4: site[0].route[0].path (a.de): found nothing, expected a path such as "/api/"',
        ),
        (
            '[[site]]\ndomains = ["a.de"]\nupstream = [{weight = 2}]',
            '3: site[0].upstream[0].url (a.de): found nothing, expected an upstream such as "http://app:3000"',
        ),
        (
            SITE + '[[site]]\ndomains = ["b.de", "A.de."]\nupstream = "http://b"',
            '5: site[1].domains[1] (b.de): found "a.de", expected every name once; site[0].domains[0] is the same name',
        ),
        (
            '[[site]]\ndomains = ["münchen.de", "xn--mnchen-3ya.de"]\nupstream = "http://a"',
            '2: site[0].domains[1] (münchen.de): found "xn--mnchen-3ya.de", expected every name once',
        ),
        (
            '[[site]]\ndomains = ["a.de", "*"]\nupstream = "http://a"\ntls.mode = "off"',
            '2: site[0].domains[1] (a.de): found "*", expected names, or "*" alone; it stands for all names',
        ),
        (
            SITE + '[[site.route]]\npath = "/a"\n[[site.route]]\npath = "/a"',
            '7: site[0].route[1].path (a.de): found "/a", expected every path once; site[0].route[0].path covers',
        ),
        (
            SITE + '[[site.route]]\npath = "/a/"\n[[site.route]]\npath = "/a"',
            '7: site[0].route[1].path (a.de): found "/a", expected every path once; site[0].route[0].path covers',
        ),
        (
            SITE + '[[site.route]]\npath = "/"',
            '5: site[0].route[0].path (a.de): found "/", expected a part of the site; that is the site itself',
        ),
        (
            '[[site]]\ndomains = ["a.de"]',
            "1: site[0].upstream (a.de): found nothing, expected an upstream or a redirect",
        ),
        (
            '[[site]]\ndomains = ["a.de"]\nupstream = []',
            "3: site[0].upstream (a.de): found an empty list, expected an upstream or a redirect",
        ),
        (
            '[[site]]\ndomains = ["a.de"]\nredirect = "https://b.de"\n[[site.route]]\npath = "/x"\nredirect = ""',
            "4: site[0].route[0].upstream (a.de): found nothing, expected an upstream or a redirect",
        ),
        (
            '[[site]]\ndomains = ["a.de"]\nupstream = {url = "http://a", backup = true}',
            "3: site[0].upstream (a.de): found backups alone, expected an upstream that is no backup",
        ),
        (
            '[[site]]\ndomains = ["a.de"]\nredirect = "https://A.de:443/"',
            '3: site[0].redirect (a.de): found "https://A.de:443", expected another site; the browser would come back',
        ),
        (
            '[[site]]\ndomains = ["::1"]\nredirect = "https://[::1]"',
            '3: site[0].redirect (::1): found "https://[::1]", expected another site',
        ),
        (
            SITE + 'set_request_headers = {X-A = "1", x-a = "2"}',
            '4: site[0].set_request_headers.x-a (a.de): found "x-a", expected every field once; "X-A" is the same',
        ),
        (
            '[rate_limit]\nper = "proxy"\n' + SITE + 'rate_limit.rate = "5/s"',
            '6: site[0].rate_limit.rate (a.de): found "5/s", expected no rate of its own while per is "proxy"',
        ),
        (
            SITE + 'rate_limit = {per = "proxy", burst = 5}',
            "4: site[0].rate_limit.burst (a.de): found 5, expected no rate of its own while per is",
        ),
    ],
)
def test_faults(text: str, line: str, fault_lines: Lines) -> None:
    [only] = fault_lines(text, site=False)
    assert only.startswith(line)


@pytest.mark.parametrize(
    "text",
    [
        '[[site]]\ndomains = ["a.de"]\nredirect = "https://www.a.de"',
        '[[site]]\ndomains = ["a.de"]\nredirect = "https://a.de/new"\n[[site.route]]\npath = "/new"\nupstream = "http://a"',
        '[[site]]\ndomains = ["a.de"]\nredirect = "https://b.de"\n[[site.route]]\npath = "/x"',
        SITE + '[[site.route]]\npath = "/a"\n[[site.route]]\npath = "/ab"\n[[site.route]]\npath = "/a/b"',
        SITE + 'upgrade = []\n[[site.route]]\npath = "/a"\nredirect = "https://b.de"',
        '[rate_limit]\nper = "proxy"\n' + SITE + 'rate_limit.rate = "off"',
        '[rate_limit]\nper = "proxy"\n' + SITE + 'rate_limit = {per = "site", rate = "5/s"}',
        '[rate_limit]\nper = "proxy"\n' + SITE + '[[site.route]]\npath = "/login"\nrate_limit.rate = "5/m"',
        '[[site]]\ndomains = ["a.de"]\nupstream = ["http://a", {url = "http://b", backup = true}]',
        SITE + 'set_request_headers = {X-A = "1"}\nset_response_headers = {x-a = "2"}',
    ],
)
def test_what_is_no_fault(text: str, parsed: Callable[..., Config]) -> None:
    assert len(parsed(text, site=False).sites) == 1


@pytest.mark.parametrize("rate", ["1/h", "7/h", "1/m", "999/m", "3/s"])
def test_what_a_bucket_may_hold_the_limiter_takes(rate: str, parsed: Callable[..., Config]) -> None:
    parsed_rate = parse_rate(rate)
    assert parsed_rate is not None
    most = min(50 * 86_400 * parsed_rate.count // parsed_rate.seconds, 1_000_000)
    limit = parsed(f'[rate_limit]\nrate = "{rate}"\nburst = {most}').rate_limit
    assert TokenBucket.of(parsed_rate.count, parsed_rate.seconds, limit.burst).burst == most


def test_a_bucket_that_would_never_be_full_again_is_a_fault(fault_lines: Lines) -> None:
    told = 'burst: found 1201, expected at most 1200 with the rate "1/h"; more would take over 50 days to come back'
    [only] = fault_lines('[rate_limit]\nrate = "1/h"\nburst = 1201')
    assert only == f"3: rate_limit.{told}"
    [only] = fault_lines(
        "[rate_limit]\nburst = 1201\n" + SITE + '[[site.route]]\npath = "/x"\nrate_limit.rate = "1/h"',
        site=False,
    )
    assert only == f"2: rate_limit.{told}"


def test_a_route_as_empty_as_its_site_is_told_once(fault_lines: Lines) -> None:
    text = '[[site]]\ndomains = ["a.de"]\n[[site.route]]\npath = "/a"\n[[site.route]]\npath = "/b"'
    assert len(fault_lines(text, site=False)) == 1
