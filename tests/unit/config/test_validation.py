"""All faulty values are found in one pass, and what rests on one of them is not told twice."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.config.errors import Fault
from proxy.config.findings import Finding, Path
from proxy.config.validation import validate

Lines = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("server = 3", "1: server: found 3, expected a table"),
        ("[server]\nhttp = 80", "2: server.http: found 80, expected a list"),
        ('[server]\nhttp = ":80"', '2: server.http: found ":80", expected a list; did you mean [":80"]?'),
        (
            "[server]\nhttp = [80]",
            '2: server.http[0]: found 80, expected an address to listen on such as ":80"',
        ),
        ("[server]\nredirect_https = 1", "2: server.redirect_https: found 1, expected true or false"),
        (
            "[server]\nmax_connections = true",
            "2: server.max_connections: found true, expected a whole number",
        ),
        (
            "[limits]\nfields = 10_000_000_000_000_000_000_000",
            "2: limits.fields: found a very large number, expected",
        ),
        (
            "[limits]\nhead_size = '10B'",
            '2: limits.head_size: found "10B", expected a size between "1KB" and "1MB"',
        ),
        ("[limits]\nbody = '0B'", '2: limits.body: found "0B", expected a size between "1B" and'),
        (
            "[timeouts]\nidle = '0s'",
            '2: timeouts.idle: found "0s", expected a duration between "10ms" and "30d"',
        ),
        ("[cache]\nttl = -1", "2: cache.ttl: found -1, expected a duration such as"),
        ("[cache]\nttl = 1979-05-27", "2: cache.ttl: found the date 1979-05-27, expected a duration"),
        ("[cache]\nttl = nan", "2: cache.ttl: found nan, expected a duration"),
        (
            "[rate_limit]\nburst = 0",
            "2: rate_limit.burst: found 0, expected a whole number between 1 and 1000000",
        ),
        (
            "[tls]\nmin_version = 1.3",
            '2: tls.min_version: found 1.3, expected "1.2" or "1.3"; did you mean "1.3"?',
        ),
        (
            "[log]\nlevel = 'warn'",
            '2: log.level: found "warn", expected "debug", "info", "warning" or "error"',
        ),
        ("site = 3", "1: site: found 3, expected [[site]] tables"),
        (
            "[site]\ndomains = ['a.de']",
            "1: site: found a table, expected [[site]] tables; write [[site]], with two",
        ),
        (
            "[[site]]\ndomains = 'a.de'\nupstream = 'http://a'",
            '2: site[0].domains: found "a.de", expected a list; did',
        ),
    ],
)
def test_faulty_values(text: str, line: str, fault_lines: Lines) -> None:
    # Behind what is no list, no site can be added.
    [only] = fault_lines(text, site=not text.startswith(("site", "[site", "[[site")))
    assert only.startswith(line)


@pytest.mark.parametrize(
    ("upstream", "line"),
    [
        ("3", "3: site[0].upstream (a.de): found 3, expected an upstream such as"),
        ("'app:3'", '3: site[0].upstream (a.de): found "app:3", expected an upstream'),
        ("['http://a', 'b']", '3: site[0].upstream[1] (a.de): found "b", expected an upstream'),
        ("['http://a', 3]", "3: site[0].upstream[1] (a.de): found 3, expected a table"),
        ("{url = 'b', weight = 1}", '3: site[0].upstream.url (a.de): found "b", expected an upstream'),
        (
            "{url = 'http://b', weight = 0}",
            "3: site[0].upstream.weight (a.de): found 0, expected a whole number",
        ),
        (
            "[{url = 'http://b', backup = 1}]",
            "3: site[0].upstream[0].backup (a.de): found 1, expected true or false",
        ),
        (
            "{wight = 1}",
            "3: site[0].upstream.wight (a.de): found an unknown key, expected a key of [site.upstream]",
        ),
    ],
)
def test_upstreams_are_faulty_where_they_are_written(upstream: str, line: str, fault_lines: Lines) -> None:
    lines = fault_lines(f"[[site]]\ndomains = ['a.de']\nupstream = {upstream}", site=False)
    assert lines[0].startswith(line)


def test_header_maps(fault_lines: Lines) -> None:
    lines = fault_lines(
        "[[site]]\ndomains = ['a.de']\nupstream = 'http://a'\nset_response_headers = {'A B' = 'x', C = 3, D = 'ok'}\n"
        "set_request_headers = ['X-A: b']",
        site=False,
    )
    assert [line.partition(";")[0] for line in lines] == [
        '4: site[0].set_response_headers."A B" (a.de): found "A B", expected a field name such as "X-Device"',
        "4: site[0].set_response_headers.C (a.de): found 3, expected a string",
        '5: site[0].set_request_headers (a.de): found a secret, expected a table such as { X-Device = "a" }',
    ]


def test_every_fault_of_a_file_is_told_at_once(fault_lines: Lines) -> None:
    lines = fault_lines(
        """\
[cache]
ttl = "3 sec"
tll = "3s"
[[site]]
domains = ["a.de", "-", "b.de", "A.de"]
upstream = "app"
[[site]]
domains = ["c.de", "b.de"]
upstream = ["http://a", {url = "http://b", weight = -1}, {url = "http://c", backup = "no"}]
limits.body = "x"
[[site.route]]
path = "x"
[[site.route]]
path = "/y"
cache.ttl = "${MISSING}"
[[site.route]]
path = "/y/"
""",
        site=False,
    )
    assert [line.partition(":")[2].split(" ")[1] for line in lines] == [
        "cache.ttl:",
        "cache.tll:",
        "site[0].domains[1]",
        "site[0].domains[3]",
        "site[0].upstream",
        "site[1].domains[1]",
        "site[1].upstream[1].weight",
        "site[1].upstream[2].backup",
        "site[1].limits.body",
        "site[1].route[0].path",
        "site[1].route[1].cache.ttl",
        "site[1].route[2].path",
    ]
    assert "site[0].domains[2] is the same name" in lines[5]
    assert "site[1].route[1].path covers the same requests" in lines[11]


@pytest.mark.parametrize(
    "text",
    [
        '[[site]]\ndomains = ["*"]\nupstream = "http://a"\ntls = {mode = "fils"}',
        '[[site]]\ndomains = ["*"]\nupstream = "http://a"\ntls = 3',
        '[tls]\nmode = "self signed"\n[[site]]\ndomains = ["*"]\nupstream = "http://a"',
        '[[site]]\ndomains = ["a.de"]\nupstrem = "http://a"',
        '[[site]]\ndomain = ["a.de"]\nupstream = "http://a"',
        '[[site]]\ndomains = ["-"]\nupstream = "http://a"',
        '[[site]]\ndomains = ["a.de"]\nupstream = ["b"]',
        '[[site]]\ndomains = ["a.de"]\nupstream = "${X}"',
        '[[sites]]\ndomains = ["a.de"]\nupstream = "http://a"',
        '[[site]]\ndomains = ["a.de"]\nredirect = "a"',
        '[tls]\nmode = "files"\ncertificate = 3\nprivate_key = "k"\n[[site]]\ndomains = ["a.de"]\nupstream = "http://a"',
        '[tls]\neab_kid = "x"\neab_hmac_key = "-!"\n[[site]]\ndomains = ["a.de"]\nupstream = "http://a"',
        '[server]\nadmin = "0.0.0.0:9000"\nadmin_token = "ä"\n[[site]]\ndomains = ["a.de"]\nupstream = "http://a"',
        '[server]\nhttp = 80\nhttps = []\n[[site]]\ndomains = ["a.de"]\nupstream = "http://a"',
    ],
)
def test_one_mistake_is_one_fault(text: str, faults: Callable[..., list[Fault]]) -> None:
    assert len(faults(text, site=False)) == 1


def test_paths_are_those_of_the_file_whatever_is_taken_out() -> None:
    written: dict[str, Any] = {
        "site": [3, {"domains": ["a.de", 1, "b.de", 2, "c.de"]}, 4, {"domains": [5, "d.de"]}]
    }
    values = {"site": [3, {"domains": ["a.de", 1, "b.de", 2, "c.de"]}, 4, {"domains": [5, "d.de"]}]}
    unreadable: frozenset[Path] = frozenset({("site", 1, "domains", 0)})
    draft, findings = validate(written, values, unreadable)
    assert [finding.path for finding in findings] == [
        ("site", 0),
        ("site", 1, "domains", 1),
        ("site", 1, "domains", 3),
        ("site", 2),
        ("site", 3, "domains", 0),
    ]
    assert [site.domains for site in draft.document.site] == [["b.de", "c.de"], ["d.de"]]
    assert draft.original(("site", 0, "domains", 1)) == ("site", 1, "domains", 4)
    assert draft.original(("site", 1, "domains", 0)) == ("site", 3, "domains", 1)
    assert draft.rests_on_fault(Finding(("site", 0, "domains"), "", ""))
    assert draft.rests_on_fault(Finding(("log",), "", "", needs=(("site",),)))
    assert not draft.rests_on_fault(Finding(("site", 1, "upstream"), "", ""))


def test_a_garbage_file_costs_little(faults: Callable[..., list[Fault]]) -> None:
    many = faults("".join(f"key{number} = {{}}\n" for number in range(2_000)))
    assert len(many) == 2_000
    assert len(faults(f"[server]\nproxy_protocol = [{'3,' * 5_000}]")) == 5_000
