"""What `foregate check` prints."""

from pathlib import Path

from proxy.config.errors import ConfigError, Fault
from proxy.config.loader import load
from proxy.config.report import report


def test_a_valid_file(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text('[[site]]\ndomains = ["a.de", "b.de"]\nupstream = "http://a"\n')
    assert report(load(file, {})) == f"{file} is valid: 1 site with 2 names"


def test_a_valid_file_with_warnings(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text('[[site]]\ndomains = ["localhost"]\nupstream = "http://a"\n')
    assert report(load(file, {})) == (
        f"{file} is valid: 1 site with 1 name\n\n{file}:2: site[0].domains[0] (localhost): no public CA serves "
        '"localhost": it gets a certificate of the local CA\n\n1 warning'
    )


def test_a_file_with_faults() -> None:
    error = ConfigError((Fault("p", 1, "a", "1", "2"), Fault("p", None, "b", "", "c")))
    assert report(error) == "p:1: a: found 1, expected 2\np: b: expected c\n\n2 faults"
