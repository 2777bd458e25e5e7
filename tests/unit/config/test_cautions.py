"""What is allowed and hardly meant is said, and nothing is said of an ordinary file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.loader import load

SITE = '[[site]]\ndomains = ["a.de"]\nupstream = "http://a"\n'
CYRILLIC_A = "\u0430"
Warned = Callable[[str], list[str]]


@pytest.fixture
def warned(tmp_path: Path) -> Warned:
    """Return the warnings about lines, without the name of the file."""

    def warn(text: str) -> list[str]:
        file = tmp_path / "proxy.toml"
        file.write_text(text, encoding="utf-8")
        return [str(warning).removeprefix(f"{file}:") for warning in load(file, {}).warnings]

    return warn


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            SITE.replace("a.de", "shop.internal"),
            '2: site[0].domains[0] (shop.internal): no public CA serves "shop.internal": it gets a '
            "certificate of the local CA",
        ),
        (
            SITE.replace("a.de", f"{CYRILLIC_A}pp.de"),
            f'2: site[0].domains[0] ({CYRILLIC_A}pp.de): this is "xn--pp-6kc.de": it mixes cyrillic and latin letters, '
            "which look alike",
        ),
        (
            '[server]\nhttps = []\n[tls]\nmode = "self-signed"\n' + SITE,
            "4: tls.mode: without server.https every site is served over http alone",
        ),
        (
            "[server]\nhttp = []\n" + SITE,
            "2: server.http: challenges come to port 80: with no listener, something else has to send them here",
        ),
        (
            SITE + "tls.passthrough_challenges = true",
            "4: site[0].tls.passthrough_challenges (a.de): challenges go to the app: Foregate itself "
            "gets no certificates",
        ),
        (
            '[tls]\ncertificate = "c.pem"\n' + SITE,
            '2: tls.certificate: it has no effect: tls.mode is not "files"',
        ),
        (
            SITE + 'tls = {mode = "self-signed", hsts = "1d"}',
            "4: site[0].tls.hsts (a.de): browsers offer no way around a self-signed certificate once "
            "they have seen this",
        ),
        (
            '[client_ip]\nheader = "x-real-ip"\n' + SITE,
            "2: client_ip.header: nobody is believed: client_ip.trusted is empty",
        ),
        (
            '[client_ip]\ntrusted = ["10.0.0.0/8", "0.0.0.0/0"]\n' + SITE,
            "2: client_ip.trusted[1]: everyone is believed: any client can take any address",
        ),
        ('[rate_limit]\nexempt = ["::/0"]\n' + SITE, "2: rate_limit.exempt[0]: nobody is limited"),
        ('[firewall]\ndeny = ["0.0.0.0/0"]\n' + SITE, "2: firewall.deny[0]: nobody gets in"),
        (
            '[server]\nadmin = ":9000"\nadmin_token = "0123456789abcdef"\n' + SITE,
            "2: server.admin: the token travels without encryption; keep this port off the network",
        ),
        (
            SITE + 'timeouts.head = "5s"',
            "4: site[0].timeouts.head (a.de): it counts for all sites together: set it in [timeouts]",
        ),
        (
            SITE + '[[site.route]]\npath = "/a"\ncache.size = "64MB"',
            "6: site[0].route[0].cache.size (a.de): it counts for all sites together: set it in [cache]",
        ),
        (
            '[cache]\nsize = "512KB"\n' + SITE,
            '2: cache.size: cache.object_size is "1MB" and cache.size "512KB": such answers are never kept',
        ),
        (
            SITE + 'cache.object_size = "1GB"',
            '4: site[0].cache.object_size (a.de): cache.object_size is "1GB" and cache.size "64MB": such '
            "answers are never kept",
        ),
        (
            '[cache]\nignore_cookies = ["_ga", "PHPSESSID"]\n' + SITE,
            '2: cache.ignore_cookies[1]: "PHPSESSID": it may say who a user is; without it in the key users would '
            "see each other's pages",
        ),
        (
            '[cache]\nneutral_fields = ["x-api-key"]\n' + SITE,
            '2: cache.neutral_fields[0]: "x-api-key": it may say who a user is; without it in the key users would '
            "see each other's pages",
        ),
        (
            SITE.replace("http://a", "http://localhost"),
            "3: site[0].upstream[0] (a.de): this is Foregate's own port: requests would come back until "
            "they are refused",
        ),
        (
            SITE.replace('"http://a"', '["http://a", "http://a:80"]'),
            "3: site[0].upstream[1] (a.de): it is listed twice; use weight to give it a larger share",
        ),
        (
            SITE + 'upstream_server_name = "x"',
            "4: site[0].upstream_server_name (a.de): it has no effect: no upstream here begins with https://",
        ),
    ],
)
def test_warnings(text: str, line: str, warned: Warned) -> None:
    assert warned(text) == [line]


@pytest.mark.parametrize(
    "text",
    [
        SITE,
        SITE.replace("a.de", "münchen.de"),
        SITE.replace("a.de", "пример.рф"),
        SITE.replace("a.de", "日本ab.jp"),
        SITE.replace("a.de", "localhost") + 'tls.mode = "self-signed"',
        SITE.replace("a.de", "localhost") + 'tls.directory = "https://127.0.0.1:14000/dir"',
        "[server]\nhttps = []\n" + SITE,
        '[server]\nhttps = []\n[tls]\nmode = "off"\n' + SITE,
        '[client_ip]\ntrusted = ["cloudflare"]\nheader = "cf-connecting-ip"\n' + SITE,
        '[server]\nadmin = "127.0.0.1:9000"\nadmin_token = "0123456789abcdef"\n' + SITE,
        '[server]\nhttp = ["192.0.2.1:80"]\nhttps = []\n' + SITE.replace("http://a", "http://127.0.0.1"),
        SITE.replace("http://a", "https://a") + 'upstream_server_name = "x"',
        '[cache]\nttl = "0s"\nsize = "512KB"\n' + SITE,
    ],
)
def test_ordinary_files_are_not_warned_about(text: str, warned: Warned) -> None:
    assert warned(text) == []


@pytest.mark.parametrize(("cpus", "have"), [(1, "this machine has one CPU"), (2, "this machine has 2 CPUs")])
def test_far_more_workers_than_cpus(
    cpus: int, have: str, warned: Warned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cpus)))
    assert warned("[server]\nworkers = 9\n" + SITE) == [
        f'2: server.workers: {have}: more workers than CPUs are not faster, and each takes 40 MB; "auto" fits'
    ]
    assert warned("[server]\nworkers = 8\n" + SITE) == []


def test_many_workers_on_a_large_machine(warned: Warned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    assert warned("[server]\nworkers = 256\n" + SITE) == []
    assert len(warned("[server]\nworkers = 257\n" + SITE)) == 1


def test_files_for_some_sites_only_are_in_use(warned: Warned, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("-----BEGIN CERTIFICATE-----")
    (tmp_path / "k.pem").write_text("-----BEGIN PRIVATE KEY-----")
    text = (
        '[tls]\ncertificate = "c.pem"\nprivate_key = "k.pem"\n'
        + SITE
        + 'tls.mode = "files"\n'
        + SITE.replace("a.de", "b.de")
    )
    assert warned(text) == []
