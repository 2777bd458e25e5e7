"""Files that are named and cannot be used are faults, at the key that names them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.errors import ConfigError
from proxy.config.loader import load

SITE = '[[site]]\ndomains = ["a.de"]\nupstream = "https://a"\n'
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"
Check = Callable[[str], list[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return the faults of lines in a folder with a few files, without the folder's name."""
    (tmp_path / "cert.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    (tmp_path / "ec.pem").write_text(KEY.replace("PRIVATE", "EC PRIVATE"))
    (tmp_path / "encrypted.pem").write_text(KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"))
    (tmp_path / "legacy.pem").write_text(KEY.replace("MII", "Proc-Type: 4,ENCRYPTED"))
    (tmp_path / "list.txt").write_text("10.0.0.0/8 # fine\n")
    (tmp_path / "bad.txt").write_text("10.0.0.0/8\nexample.com\n10.0.0.1/8\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "long.txt").write_text("x\n" * 50)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    def run(text: str) -> list[str]:
        file = tmp_path / "proxy.toml"
        file.write_text(text)
        try:
            load(file, {})
        except ConfigError as error:
            return [str(fault).replace(f"{tmp_path}/", "") for fault in error.faults]
        return []

    return run


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[tls]\nmode = "files"\ncertificate = "gone.pem"\nprivate_key = "key.pem"\n' + SITE,
            '3: tls.certificate: found "gone.pem", which does not exist, expected certificates in PEM',
        ),
        (
            SITE + 'tls = {mode = "files", certificate = "folder", private_key = "key.pem"}',
            '4: site[0].tls.certificate (a.de): found "folder", which is a folder, expected certificates in PEM',
        ),
        (
            '[tls]\nmode = "files"\ncertificate = "cert.pem"\nprivate_key = "pipe"\n' + SITE,
            '4: tls.private_key: found "pipe", which is no regular file, expected a private key in PEM',
        ),
        (
            '[tls]\nmode = "files"\ncertificate = "cert.pem"\nprivate_key = "encrypted.pem"\n' + SITE,
            '4: tls.private_key: found "encrypted.pem", which is encrypted, expected a private key in PEM without a '
            "passphrase; decrypt it: openssl pkey -in encrypted.pem -out key.pem",
        ),
        (
            '[tls]\nmode = "files"\ncertificate = "cert.pem"\nprivate_key = "legacy.pem"\n' + SITE,
            '4: tls.private_key: found "legacy.pem", which is encrypted, expected',
        ),
        (
            '[tls]\nca_file = "list.txt"\n' + SITE,
            '2: tls.ca_file: found "list.txt", in which there is none, expected certificates in PEM',
        ),
        (
            SITE + 'upstream_ca_file = "gone.pem"',
            '4: site[0].upstream_ca_file (a.de): found "gone.pem", which does not exist, expected certificates in PEM',
        ),
        (
            '[firewall]\ndeny = ["10.0.0.0/8", "file:gone.txt"]\n' + SITE,
            '2: firewall.deny[1]: found "gone.txt", which does not exist, expected a list of networks',
        ),
        (
            SITE
            + '[[site.route]]\npath = "/b"\n[[site.route]]\npath = "/a/long/one"\nfirewall.allow = ["file:binary.txt"]',
            '8: site[0].route[1].firewall.allow[0] (a.de): found "binary.txt", which is not UTF-8, expected a list',
        ),
        (
            '[log]\naccess = "gone/access.log"\n' + SITE,
            '2: log.access: found "gone/access.log", whose folder does not exist, expected a file in a folder',
        ),
        (
            '[log]\naccess = "folder"\n' + SITE,
            '2: log.access: found "folder", which is a folder, expected a file',
        ),
        (
            '[tls]\nstorage = "list.txt"\n' + SITE,
            '2: tls.storage: found "list.txt", which is a file, expected a folder, which is made where it is missing',
        ),
        (
            '[server]\nuser = "nobody-of-that-name"\n' + SITE,
            '2: server.user: found "nobody-of-that-name", expected a user of this system',
        ),
    ],
)
def test_faults(text: str, line: str, check: Check) -> None:
    [only] = check(text)
    assert only.startswith(f"proxy.toml:{line}")


def test_exchanged_files_are_recognised(check: Check) -> None:
    lines = check('[tls]\nmode = "files"\ncertificate = "key.pem"\nprivate_key = "cert.pem"\n' + SITE)
    assert [line.rpartition("; ")[2] for line in lines] == ["are certificate and private_key exchanged?"] * 2


def test_lines_of_lists_are_faults_of_the_list(check: Check) -> None:
    expected = 'expected a network such as "10.0.0.0/8" or "2001:db8::/32"'
    assert check('[firewall]\ndeny = ["file:bad.txt"]\n' + SITE + SITE.replace("a.de", "b.de")) == [
        f'bad.txt:2: found "example.com", {expected}',
        f'bad.txt:3: found "10.0.0.1/8", {expected}; did you mean "10.0.0.0/8"?',
    ]


def test_a_list_of_something_else_does_not_fill_the_screen(check: Check) -> None:
    lines = check('[firewall]\ndeny = ["file:long.txt"]\n' + SITE)
    assert len(lines) == 21
    assert "long.txt: found 30 more such lines" in "".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        '[tls]\nmode = "files"\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n' + SITE,
        '[tls]\nmode = "files"\ncertificate = "cert.pem"\nprivate_key = "ec.pem"\n' + SITE,
        '[tls]\nca_file = "cert.pem"\nstorage = "new/folder"\n' + SITE,
        '[tls]\nca_file = "gone.pem"\nmode = "off"\n' + SITE,
        '[firewall]\nallow = ["file:list.txt", "192.0.2.0/24"]\n' + SITE,
        '[log]\naccess = "access.log"\n[server]\nuser = "root"\n' + SITE,
        '[server]\nuser = "12345"\n' + SITE,
        SITE + 'upstream_ca_file = "cert.pem"',
    ],
)
def test_files_that_can_be_used(text: str, check: Check) -> None:
    assert check(text) == []


def test_files_are_told_together_with_everything_else(check: Check) -> None:
    lines = check('[tls]\nca_file = "gone.pem"\nhold = 3\n' + SITE + "x = 1")
    assert [line.split(": ")[1] for line in lines] == ["tls.ca_file", "tls.hold", "site[0].x (a.de)"]


def test_a_file_that_may_not_be_read(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    text = '[tls]\nca_file = "cert.pem"\n' + SITE
    monkeypatch.setattr("proxy.config.files.os.stat", refuse)
    [line] = check(text)
    assert "which cannot be read (permission denied)" in line
