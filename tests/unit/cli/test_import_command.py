"""`foregate import`: where the file, the certificates and the list of what is missing go."""

import io
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.importing.test_auto_ssl import stored
from tests.unit.importing.test_certbot import lineage

NGINX = "server { listen 443 ssl; server_name a.example.com; gzip on; location / { proxy_pass http://app; } }"


@pytest.fixture
def nginx(tmp_path: Path) -> str:
    (tmp_path / "nginx.conf").write_text(NGINX)
    return str(tmp_path / "nginx.conf")


def test_to_standard_output(run: Run, nginx: str, tmp_path: Path) -> None:
    status, out, err = run("import", "nginx", nginx)
    assert status == 0
    assert out.startswith(f"# Made by `foregate import nginx {nginx}`.")
    assert err.startswith(f"Not carried over:\n  {nginx}:1: gzip on: Foregate does not compress yet")
    (tmp_path / "proxy.toml").write_text(out)
    assert run("check")[0] == 0


def test_to_a_file_that_is_never_overwritten_unasked(run: Run, nginx: str, tmp_path: Path) -> None:
    status, out, err = run("import", "nginx", nginx, "-o", "new.toml")
    assert (status, out) == (0, "")
    assert err.endswith(
        f"{tmp_path}/new.toml is written; `foregate check -c {tmp_path}/new.toml` finds it valid\n"
    )
    before = (tmp_path / "new.toml").read_text()
    (tmp_path / "nginx.conf").write_text(NGINX.replace("http://app", "http://other"))
    status, _, err = run("import", "nginx", nginx, "-o", "new.toml")
    assert (status, (tmp_path / "new.toml").read_text()) == (1, before)
    assert err == f"foregate: {tmp_path}/new.toml exists; say --yes to overwrite it, or name another file\n"
    (tmp_path / "new.toml").chmod(0o640)
    assert run("import", "nginx", nginx, "-o", "new.toml", "--yes")[0] == 0
    assert (tmp_path / "new.toml").stat().st_mode & 0o777 == 0o640
    assert not list(tmp_path.glob(".foregate-*"))
    assert "http://other" in (tmp_path / "new.toml").read_text()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nginx", "a" * 5000), 1, "a: file name too long\n"),
        (("nginx", "gone.conf"), 1, "foregate: gone.conf: there is nothing of this name\n"),
        (("nginx", "nginx.conf", "-o", "a" * 5000), 1, "a: file name too long\n"),
        (("nginx", "-"), 1, "foregate: -: standard input is for the environment of nginx-auto-ssl\n"),
        (("certbot", ".", "--upstream", "app:3000"), 2, 'did you mean "http://app:3000"?\n'),
    ],
)
def test_what_cannot_be_read_or_written_is_told(
    run: Run, nginx: str, words: tuple[str, ...], status: int, said: str
) -> None:
    ended, out, err = run("import", *words)
    assert (ended, out) == (status, "")
    assert err.endswith(said)


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 130)])
def test_asking(
    run: Run, nginx: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    (tmp_path / "new.toml").write_text("precious")
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run("import", "nginx", nginx, "-o", "new.toml")[0] == status
    assert ((tmp_path / "new.toml").read_text() == "precious") == (status != 0)


def test_a_file_that_cannot_be_written(run: Run, nginx: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    status, out, err = run("import", "nginx", nginx, "-o", "folder", "--yes")
    assert (status, out) == (1, "")
    assert err.endswith(f"foregate: cannot write {tmp_path}/folder: is a directory\n")
    assert not list(tmp_path.glob(".foregate-*"))


def test_certificates_go_beside_the_file(run: Run, tmp_path: Path) -> None:
    lineage(tmp_path / "le", "a", "a.example.com")
    status, _, err = run("import", "certbot", "le", "-o", "new/proxy.toml")
    assert status == 1  # there is no such folder
    assert f"cannot write {tmp_path}/new/proxy.toml" in err
    status, _, err = run("import", "certbot", "le", "-o", "proxy.toml")
    assert status == 0
    assert f"Taken over into {tmp_path}/ssl_data:\n  certificate for a.example.com" in err
    assert (tmp_path / "ssl_data" / "certificates" / "a.example.com" / "current").exists()
    assert run("check")[0] == 0


def test_certificates_go_where_they_are_told_to(run: Run, tmp_path: Path) -> None:
    lineage(tmp_path / "le", "a", "a.example.com")
    status, out, err = run("import", "certbot", "le")
    assert status == 0
    assert "Found 1 certificates, 0 accounts: they are taken over with -o FILE or --storage FOLDER" in err
    assert "storage" not in out
    assert not (tmp_path / "ssl_data").exists()
    status, out, _ = run("import", "certbot", "le", "--storage", "data")
    assert status == 0
    assert f'storage = "{tmp_path}/data"' in out
    assert run("import", "certbot", "le", "--storage", "data", "-o", "proxy.toml")[0] == 0
    assert 'storage = "data"' in (tmp_path / "proxy.toml").read_text()


def test_the_storage_of_an_image(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage(tmp_path / "le", "a", "a.example.com")
    monkeypatch.setenv("FOREGATE_STORAGE", str(tmp_path / "volume"))
    assert run("import", "certbot", "le", "-o", "proxy.toml")[0] == 0
    assert "storage" not in (tmp_path / "proxy.toml").read_text()
    assert (tmp_path / "volume" / "certificates" / "a.example.com").is_dir()


def test_an_environment_on_standard_input(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "data", "b.example.com")
    piped = io.TextIOWrapper(io.BytesIO(b"SITES=a.example.com=app:80;b.example.com=app:81\nHOME=/root\n"))
    monkeypatch.setattr(sys, "stdin", piped)
    status, _, err = run("import", "nginx-auto-ssl", "-", "data", "-o", "proxy.toml")
    assert status == 0
    assert "certificate for b.example.com" in err
    assert run("check")[1].startswith(f"{tmp_path}/proxy.toml is valid: 2 sites with 2 names")


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("apache", "x"), 2, "'apache' is not one of 'nginx', 'nginx-auto-ssl', 'certbot'"),
        (("nginx",), 2, "Missing argument 'PATH...'"),
        (("nginx", "none.conf"), 1, "foregate: none.conf: there is nothing of this name\n"),
        (
            ("nginx", "broken.conf"),
            1,
            "foregate: broken.conf:2: the file ends within a block: a } is missing\n",
        ),
    ],
)
def test_what_cannot_be(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], status: int, complaint: str
) -> None:
    (tmp_path / "broken.conf").write_text("server {\n")
    found, out, err = run("import", *arguments)
    assert (found, out) == (status, "")
    assert complaint in err


def test_secrets_in_a_file_that_all_may_read(run: Run, nginx: str, tmp_path: Path) -> None:
    told = " holds values of set_request_headers and everybody may read it: chown it to Foregate's user and chmod 600"
    assert told not in run("import", "nginx", nginx)[2]
    (tmp_path / "nginx.conf").write_text(
        NGINX.replace("http://app;", "http://app; proxy_set_header X-Key k;")
    )
    assert f"the output{told}" in run("import", "nginx", nginx)[2]
    assert f"{tmp_path}/new.toml{told}" in run("import", "nginx", nginx, "-o", "new.toml")[2]
    (tmp_path / "new.toml").chmod(0o600)
    assert told not in run("import", "nginx", nginx, "-o", "new.toml", "--yes")[2]
    (tmp_path / "nginx.conf").write_text(
        NGINX.replace("http://app;", "http://app; proxy_set_header Accept '';")
    )
    assert told not in run("import", "nginx", nginx)[2]


def test_nothing_to_take_over(run: Run, tmp_path: Path) -> None:
    lineage(tmp_path / "le", "a", "a.example.com")
    assert run("import", "certbot", "le", "-o", "proxy.toml")[0] == 0
    err = run("import", "certbot", "le", "-o", "proxy.toml", "--yes")[2]
    assert "  none: each is for other names, has ended, or is there already\n" in err
